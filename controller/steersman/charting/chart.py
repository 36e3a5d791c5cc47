"""A chart's folder -> a Chart, or every problem in it. Nothing outside the folder is read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from steersman.api.refusal import Refused
from steersman.charting.metadata import Metadata
from steersman.charting.problems import ChartErrors
from steersman.charting.values import Value, flagged, value_of
from steersman.manifests.document import Text, fault_of
from steersman.manifests.explain import explain, find
from steersman.manifests.problem import Mark, Problem
from steersman.manifests.tree import Entries, Node, Unreadable, data_of, read_trees

MAX_FILE = 1024 * 1024
MAX_TEMPLATES = 256
NOTES = "NOTES.txt"

Report = Callable[[Problem], None]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as it is on disk. `templates` are by their names below `templates/`, with helpers
    and NOTES.txt; `defaults` are its values.yaml."""

    folder: Path
    meta: Metadata
    defaults: Value = field(repr=False)
    schema: Mapping[str, Any] | None = field(repr=False)
    templates: Mapping[str, str] = field(repr=False)

    @property
    def manifests(self) -> tuple[str, ...]:
        """The templates that render to manifests."""
        return tuple(name for name in self.templates if is_manifest(name))

    def text(self, template: str) -> Text:
        """Return a template as what problems are shown in."""
        return Text(self.path(template), self.folder, self.templates[template])

    def path(self, template: str) -> str:
        return str(self.folder / "templates" / template)


def is_manifest(template: str) -> bool:
    """Whether a template is rendered by itself, and not a helper of others."""
    return template != NOTES and not os.path.basename(template).startswith("_")


def read_chart(folder: str | Path) -> Chart:
    """Return the chart in a folder; raises ChartErrors with everything that is wrong."""
    problems: list[Problem] = []
    reader = _Reader(Path(folder), problems.append)
    if not os.path.isfile(reader.folder / "Chart.yaml"):
        allowed = "a chart's folder; `steer chart create NAME` makes one"
        problems.append(Problem(str(folder), None, "", "no Chart.yaml", allowed))
        raise ChartErrors(str(folder), problems)
    meta, defaults, schema = reader.metadata(), reader.defaults(), reader.schema()
    templates = dict(reader.templates())
    if not any(map(is_manifest, templates)) and not problems:
        allowed = "at least one .yaml file"
        problems.append(Problem(str(reader.folder / "templates"), None, "", "none", allowed))
    if os.path.isdir(reader.folder / "charts"):
        allowed = "one chart in each folder; install the others by themselves"
        problems.append(Problem(str(reader.folder / "charts"), None, "", "subcharts", allowed))
    if meta is None or problems:
        raise ChartErrors(str(folder), problems)
    return Chart(reader.folder, meta, defaults, schema, templates)


def read_values(text: Text, report: Report) -> Value:
    """Return the mapping of values in a YAML text; what is wrong goes to `report`."""
    root = _one_tree(text, report)
    empty = Value({}, flagged(text.name))
    if root is not None and not isinstance(root, Entries):
        refused = Refused("no mapping", "a mapping of names to values")
        report(text.problem(fault_of(root.mark, (), refused)))
    return value_of(root, text) if isinstance(root, Entries) else empty


def decoded(name: str, data: bytes) -> str:
    """Return the text of a file; raises Refused."""
    if len(data) > MAX_FILE:
        raise Refused("more than 1 MiB", "a smaller file")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Refused(f"the byte 0x{data[error.start]:02x} in line {line}", "UTF-8 text") from error


class _Reader:
    """Reads the files of one chart."""

    def __init__(self, folder: Path, report: Report) -> None:
        self.folder = folder
        self._root = os.path.realpath(folder)
        self._report = report

    def metadata(self) -> Metadata | None:
        text = self._read("Chart.yaml")
        root = _one_tree(text, self._report) if text is not None else None
        if text is None or root is None:
            return None
        missing = find(root, ("apiVersion",)) is None
        if missing:
            refused = Refused("nothing, and it is required", "steersman/v1")
            self._report(text.problem(fault_of(root.mark, ("apiVersion",), refused)))
        try:
            return Metadata.model_validate(data_of(root), by_alias=True, by_name=False)
        except ValidationError as error:
            for fault in explain(error, Metadata.model_json_schema(), root):
                self._report(text.problem(fault))
            return None

    def defaults(self) -> Value:
        text = self._read("values.yaml", is_optional=True)
        if text is None:
            return Value({}, flagged(str(self.folder / "values.yaml")))
        return read_values(text, self._report)

    def schema(self) -> Mapping[str, Any] | None:
        text = self._read("values.schema.json", is_optional=True)
        if text is None:
            return None
        try:
            schema = json.loads(text.text)
        except (json.JSONDecodeError, RecursionError) as error:
            mark, why = Mark(1, 1), "nesting without end"
            if isinstance(error, json.JSONDecodeError):
                mark, why = Mark(error.lineno, error.colno), error.msg
            refused = Refused(f"broken JSON ({why})", "valid JSON")
            self._report(text.problem(fault_of(mark, (), refused)))
            return None
        if not isinstance(schema, dict):
            refused = Refused("no object", "a JSON Schema of the values, such as {}")
            self._report(text.problem(fault_of(Mark(1, 1), (), refused)))
            return None
        return schema

    def templates(self) -> Iterator[tuple[str, str]]:
        for count, name in enumerate(sorted(self._template_names()), 1):
            if count > MAX_TEMPLATES:
                self._complain("templates", "too many files", f"at most {MAX_TEMPLATES}")
                return
            base = os.path.basename(name)
            if not base.startswith("_") and name != NOTES and not base.endswith((".yaml", ".yml")):
                allowed = f".yaml files, helpers that begin with _, and {NOTES}"
                self._complain(f"templates/{name}", "a file that is none of a chart's", allowed)
                continue
            text = self._read(f"templates/{name}")
            if text is not None:
                yield name, text.text

    def _template_names(self) -> Iterator[str]:
        top = self.folder / "templates"
        for folder, folders, names in os.walk(top):
            folders[:] = [each for each in folders if not each.startswith(".")]
            for name in names:
                if not name.startswith("."):
                    yield Path(folder, name).relative_to(top).as_posix()

    def _read(self, name: str, *, is_optional: bool = False) -> Text | None:
        path = self.folder / name
        if is_optional and not os.path.lexists(path):
            return None
        try:
            real = os.path.realpath(path)
            if os.path.commonpath((self._root, real)) != self._root:
                raise Refused("a link out of the chart", "a file in it")
            if not os.path.isfile(real):
                raise Refused("no regular file", "a file")
            with open(real, "rb") as stream:
                return Text(str(path), self.folder, decoded(name, stream.read(MAX_FILE + 1)))
        except Refused as refused:
            self._complain(name, refused.found, refused.allowed)
        except OSError as error:
            self._complain(name, error.strerror or str(error), "a file that can be read")
        return None

    def _complain(self, name: str, found: str, allowed: str) -> None:
        self._report(Problem(str(self.folder / name), None, "", found, allowed))


def _one_tree(text: Text, report: Report) -> Node | None:
    """Return the root of the one document of a text, None when there is nothing in it."""
    found: list[Problem] = []
    roots: list[Node] = []
    try:
        for root in read_trees(
            text.text, lambda mark, path, why: found.append(text.problem(fault_of(mark, path, why)))
        ):
            roots.append(root)
            if len(roots) == 2:
                refused = Refused("a second document", "one; take the --- away")
                found.append(text.problem(fault_of(root.mark, (), refused)))
    except Unreadable:
        pass  # The reason is the last of what was found.
    for problem in found:
        report(problem)
    return roots[0] if roots and not found else None
