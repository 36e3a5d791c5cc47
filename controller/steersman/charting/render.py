"""A chart and values -> manifests and the objects in them, rendered in a process of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steersman.api.refusal import Path as ValuePath
from steersman.api.secret import Secret, SecretSource
from steersman.charting.chart import NOTES, Chart
from steersman.charting.jail import CPU_SECONDS, MEMORY
from steersman.charting.problems import ChartErrors
from steersman.charting.process import Ended, ask
from steersman.charting.values import Value, nearest, over_defaults
from steersman.manifests import Loaded, ManifestErrors, Sourced, Text, load_texts
from steersman.manifests.explain import Fault
from steersman.manifests.problem import Mark, Problem, dotted

_LIMITS = f"what ends within {CPU_SECONDS} s and {MEMORY >> 20} MiB; look for loops and repetitions"
_TAG = re.compile(r"\{[{%#]")
_REFERENCES = {"value": "value", "from_exec": "fromExec", "from_file": "fromFile"}


@dataclass(frozen=True, slots=True)
class Installing:
    """What templates know as `release`: whose manifests they make."""

    name: str
    revision: int = 1
    is_upgrade: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one template rendered to; `template` is its name in the chart."""

    template: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a chart makes of values."""

    manifests: tuple[Manifest, ...]
    notes: str
    loaded: Loaded


async def render(chart: Chart, given: Value, release: Installing, base_dir: Path) -> Rendered:
    """Return what `chart` makes of `given` over its defaults; raises ChartErrors.

    Relative paths in its manifests count from `base_dir`.
    """
    values = over_defaults(chart.defaults, given)
    answer = await _asked(chart, values, release)
    rendered = {name: answer[name] for name in (*chart.manifests, NOTES) if name in answer}
    manifests = tuple(
        Manifest(name, text)
        for name, text in rendered.items()
        if name != NOTES and _says_something(text)
    )
    texts = [
        Text(f"{chart.path(each.template)} (rendered)", base_dir, each.text) for each in manifests
    ]
    return Rendered(manifests, rendered.get(NOTES, ""), objects_in(chart.meta.name, texts))


def _says_something(text: str) -> bool:
    lines = (line.strip() for line in text.split("\n"))
    return any(line not in ("", "---") and not line.startswith("#") for line in lines)


def objects_in(chart: str, texts: Sequence[Text]) -> Loaded:
    """Return the objects of rendered manifests; raises ChartErrors.

    Installations are remembered whole, and charts come from others: no value of a Secret may be
    in them, and none from this machine's files and programs.
    """
    try:
        loaded = load_texts(texts)
    except ManifestErrors as errors:
        raise ChartErrors(chart, errors.problems) from errors
    problems = [problem for each in loaded.objects for problem in _exposed(each)]
    if problems:
        raise ChartErrors(chart, problems)
    return loaded


def _exposed(sourced: Sourced) -> Iterator[Problem]:
    if not isinstance(sourced.obj, Secret):
        return
    for key, source in sourced.obj.spec.data.items():
        name = next((said for field, said in _REFERENCES.items() if _has(source, field)), None)
        if name is not None:
            yield sourced.problem(
                ("spec", "data", key, name),
                f"{name} in a chart",
                "fromEnv or sealed; or apply the Secret by itself, and let the chart name it",
            )


def _has(source: SecretSource, field: str) -> bool:
    return getattr(source, field) is not None


async def _asked(chart: Chart, values: Value, release: Installing) -> Mapping[str, str]:
    render = [*chart.manifests, *([NOTES] if NOTES in chart.templates else [])]
    request = {
        "templates": dict(chart.templates),
        "render": render,
        "schema": chart.schema,
        "objects": {
            "values": values.plain_entries(),
            "chart": chart.meta.model_dump(mode="json", by_alias=True),
            "release": {
                "name": release.name,
                "revision": release.revision,
                "isInstall": not release.is_upgrade,
                "isUpgrade": release.is_upgrade,
            },
        },
    }
    try:
        answer = await ask(request, [*chart.templates, "values.schema.json"])
        problems = list(_problems(chart, values, answer))
        texts = {name: _text(answer["rendered"][name]) for name in render} if not problems else {}
    except Ended as ended:
        is_template = ended.template in chart.templates
        name = chart.path(ended.template) if is_template else str(chart.folder / ended.template)
        problems = [Problem(name, None, "", ended.why, _LIMITS)]
    except (KeyError, TypeError, ValueError):
        # It is a template that got so far that must not be believed.
        problems = [Problem(str(chart.folder), None, "", "an answer of no sense", _LIMITS)]
    if problems:
        raise ChartErrors(chart.meta.name, problems)
    return texts


def _problems(chart: Chart, values: Value, answer: Mapping[str, Any]) -> Iterator[Problem]:
    for misfit in answer.get("misfits", ()):
        yield _misfit(chart, values, misfit)
    for fault in answer.get("faults", ()):
        template, line = _text(fault["template"]), int(fault["line"])
        used_from = _text(fault["used_from"])
        hint = f"used from {chart.path(used_from)}" if used_from else None
        found, allowed = _text(fault["found"]), _text(fault["allowed"])
        if template not in chart.templates or line < 1:
            yield Problem(chart.path(template), None, "", found, allowed, hint)
            continue
        source = chart.text(template)
        yield source.problem(Fault(_mark(source.text, line), (), found, allowed, hint))


def _mark(text: str, line: int) -> Mark:
    """Return the place of a line's first tag: templates know no columns."""
    lines = text.split("\n")
    shown = lines[line - 1] if line <= len(lines) else ""
    tag = _TAG.search(shown)
    return Mark(line, tag.start() + 1 if tag is not None else 1)


def _misfit(chart: Chart, values: Value, misfit: Mapping[str, Any]) -> Problem:
    path: ValuePath = tuple(part if type(part) is int else _text(part) for part in misfit["path"])
    found, allowed = _text(misfit["found"]), _text(misfit["allowed"])
    hint = _text(misfit["hint"]) or None
    if misfit["is_schema"]:
        name = str(chart.folder / "values.schema.json")
        return Problem(name, None, dotted(path), found, allowed, hint)
    said = nearest(values, path)
    if isinstance(said.data, str) and said.origin.mark is None and allowed == "a number":
        hint = "; ".join(filter(None, (hint, "a number with a point needs --set-json")))
    return said.origin.problem(path, found, allowed, hint)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
