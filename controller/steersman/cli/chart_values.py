"""The options that give a chart its values, and what they say all together."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from steersman.api.refusal import Path as ValuePath
    from steersman.charting.values import Value
    from steersman.manifests import Problem

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Given:
    """What a command line says of values, as it was written."""

    files: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    file: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.files or self.json or self.plain or self.text or self.file)


def values(command: F) -> F:
    """-f and the --set family, as `given: Given`."""
    for name, flag, metavar, help_ in reversed(_OPTIONS):
        command = click.option(
            *flag, name, multiple=True, metavar=metavar, expose_value=False,
            callback=_gather, help=help_,
        )(command)  # fmt: skip
    return command


_OPTIONS = (
    ("files", ("-f", "--values"), "FILE", "Values in YAML, or - for standard input; later wins."),
    ("plain", ("--set",), "PATH=VALUE", "One value: web.count=2, hosts[0]=a, hosts={a,b}."),
    ("text", ("--set-string",), "PATH=TEXT", "One value that stays text, such as 007 or true."),
    ("json", ("--set-json",), "PATH=JSON", "One value in JSON, or an object of values."),
    ("file", ("--set-file",), "PATH=FILE", "One value that is what a file holds."),
)
_KEY = "steersman.given"


def _gather(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    ctx.meta.setdefault(_KEY, {})[param.name] = value


def given_in(ctx: click.Context) -> Given:
    """Return what the command line says of values."""
    return Given(**ctx.meta[_KEY])


def given_values(
    given: Given, defaults: "Value", before: Mapping[str, object] | None = None, said: str = ""
) -> "Value":
    """Return the values that are given: files first, then each kind of `--set` in Helm's order.

    `before` are those of an earlier revision to begin with, and `said` is what it is called.
    Raises ChartErrors with every problem.
    """
    from steersman.api.refusal import Refused
    from steersman.charting.flags import (
        parse_set,
        parse_set_file,
        parse_set_json,
        parse_set_string,
        with_assignments,
    )
    from steersman.charting.problems import ChartErrors
    from steersman.charting.values import flagged, merged, value_from

    problems: list[Problem] = []
    found = value_from(before or {}, flagged(said))
    for name in given.files:
        found = merged(found, _file(name, problems))
    readers: tuple[tuple[str, Sequence[str], Callable[[str], list[tuple[ValuePath, object]]]], ...]
    readers = (
        ("--set-json", given.json, parse_set_json),
        ("--set", given.plain, parse_set),
        ("--set-string", given.text, parse_set_string),
        ("--set-file", given.file, lambda text: parse_set_file(text, _text_of)),
    )
    for flag, texts, parse in readers:
        for text in texts:
            origin = flagged(f"{flag} {text if len(text) < 60 else text[:60] + '…'}")
            try:
                found = with_assignments(found, parse(text), origin, defaults)
            except Refused as refused:
                problems.append(origin.problem((), refused.found, refused.allowed))
    if problems:
        raise ChartErrors("values", problems)
    return found


def _file(name: str, problems: "list[Problem]") -> "Value":
    from steersman.api.refusal import Refused
    from steersman.charting.chart import decoded, read_values
    from steersman.charting.values import Value, flagged
    from steersman.manifests import Text

    origin = flagged(name if name != "-" else "<stdin>")
    try:
        text = decoded(name, _bytes_of(name))
    except Refused as refused:
        problems.append(origin.problem((), refused.found, refused.allowed))
        return Value({}, origin)
    source = Text(origin.source.name, Path(os.path.dirname(name)), text)
    return read_values(source, problems.append)


def _text_of(name: str) -> str:
    from steersman.charting.chart import decoded

    return decoded(name, _bytes_of(name))


def _bytes_of(name: str) -> bytes:
    from steersman.api.refusal import Refused
    from steersman.charting.chart import MAX_FILE

    if name == "-":
        return sys.stdin.buffer.read(MAX_FILE + 1)
    try:
        with open(name, "rb") as stream:
            return stream.read(MAX_FILE + 1)
    except OSError as error:
        raise Refused(f"the file {name}: {error.strerror}", "a file that can be read") from error
