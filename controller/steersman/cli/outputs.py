"""`-o`: the ways to print objects, as kubectl names and writes them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from steersman.cli.text import printable

NONE = "<none>"
PLAIN = ("wide", "json", "yaml", "name")
TEMPLATED = ("jsonpath", "jsonpath-as-json", "custom-columns")

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    """How to print: one of PLAIN or TEMPLATED; "" is the kind's own table."""

    name: str = ""
    template: str = ""

    @property
    def is_table(self) -> bool:
        return self.name in ("", "wide", "custom-columns")


class FormatType(click.ParamType):  # type: ignore[type-arg]
    """`-o json`, `-o=json`, `-o jsonpath='{.metadata.name}'`; templates are read at once."""

    name = "format"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "FORMAT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Format:
        if isinstance(value, Format):
            return value
        name, _, template = str(value).removeprefix("=").partition("=")
        if name not in (*PLAIN, *TEMPLATED) or (name in PLAIN and template):
            known = ", ".join((*PLAIN, *(f"{each}=TEMPLATE" for each in TEMPLATED)))
            self.fail(f"{value!r} is not one of {known}", param, ctx)
        if name in TEMPLATED and not template:
            self.fail(f"{name} needs a template: {_EXAMPLES[name]}", param, ctx)
        made = Format(name, template)
        if name == "custom-columns":
            columns_of(made)
        elif name in TEMPLATED:
            _parse(template)
        return made

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[Any]:
        from click.shell_completion import CompletionItem

        names = (*PLAIN, *(f"{each}=" for each in TEMPLATED))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


_EXAMPLES = {
    "jsonpath": "-o jsonpath='{.items[*].metadata.name}'",
    "jsonpath-as-json": "-o jsonpath-as-json='{.items[*].metadata.name}'",
    "custom-columns": "-o custom-columns=NAME:.metadata.name,COMMIT:.status.commit",
}


def _parse(template: str) -> Any:
    from steersman.cli.jsonpath import parse

    return parse(template)


def columns_of(wanted: Format) -> list[tuple[str, Any]]:
    """Return the titles of custom columns, and the path of each; raises UsageError or BadPath."""
    columns = []
    # A comma inside of brackets or quotes belongs to a path.
    for word in re.split(r""",(?![^\[]*\])""", wanted.template):
        title, colon, path = word.partition(":")
        if not colon or not title.strip() or not path.strip():
            raise click.UsageError(
                f"{word!r} is no column; write TITLE:PATH, as in {_EXAMPLES['custom-columns']}"
            )
        columns.append((title.strip(), _parse(path.strip())))
    return columns


def custom_rows(wanted: Format, objects: Sequence[Object]) -> list[list[str]]:
    """Return the header and a row for each object; what is not there is <none>."""
    columns = columns_of(wanted)
    rows = [[_cell(path.find(one)) for _, path in columns] for one in objects]
    return [[title for title, _ in columns], *rows]


def _cell(values: Sequence[Any]) -> str:
    from steersman.cli.jsonpath_nodes import text_of

    return ",".join(map(text_of, values)) or NONE


def write_template(wanted: Format, data: Any) -> str:
    """Return what a jsonpath template makes of an object, or of a List of them."""
    template = _parse(wanted.template)
    if wanted.name == "jsonpath-as-json":
        text = json.dumps(template.find(data), indent=4, ensure_ascii=False) + "\n"
    else:
        text = template.render(data)
    # Into a file or a program the bytes go as they are.
    return printable(text) if sys.stdout.isatty() else text


def sorted_by(path: str, objects: Sequence[Object]) -> list[Object]:
    """Return the objects by what `path` leads to, those without it first; raises UsageError."""
    found = [(_parse(path).find(one), one) for one in objects]
    if objects and not any(values for values, _ in found):
        raise click.UsageError(f"--sort-by: none of the objects has {path}")
    return [one for _, one in sorted(found, key=lambda each: _rank(each[0]))]


def _rank(values: Sequence[Any]) -> tuple[int, float, list[tuple[int, int, str]]]:
    """Numbers before texts, and shop-10 after shop-9."""
    if not values or values[0] is None:
        return 0, 0, []
    if isinstance(values[0], int | float):
        return 1, float(values[0]), []
    parts = re.findall(r"[0-9]+|[^0-9]+", str(values[0]))
    return 2, 0, [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def labels_of(one: Object) -> str:
    """Return the labels as `--show-labels` prints them."""
    labels = one["metadata"].get("labels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE
