"""What JSONPath templates are made of, and what each part finds in plain data."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from steersman.api.errors import SteersmanError

Compare = Callable[[Any, Any], bool]


class OutOfRange(SteersmanError):
    """A list has no item of the number that a path names."""

    def __init__(self, index: int, length: int) -> None:
        super().__init__(
            f"jsonpath: there is no item [{index}] in a list of {length};"
            " use [*] for all there are, or a slice such as [0:1]"
        )


@dataclass(frozen=True, slots=True)
class Field:
    """`.name`."""

    name: str

    def of(self, value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, dict) and self.name in value:
            yield value[self.name]


@dataclass(frozen=True, slots=True)
class Quoted:
    """`['name']`: the key of this name, else the fields between its dots."""

    name: str
    parts: tuple[str, ...]

    def of(self, value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, dict) and self.name in value:
            yield value[self.name]
        else:
            yield from _along(map(Field, self.parts), [value], root)


@dataclass(frozen=True, slots=True)
class Every:
    """`[*]` and `.*`."""

    def of(self, value: Any, root: Any) -> Iterator[Any]:
        yield from _children(value)


@dataclass(frozen=True, slots=True)
class Deep:
    """`..`: everything inside that holds something, from the outside in."""

    def of(self, value: Any, root: Any) -> Iterator[Any]:
        if children := _children(value):
            yield value
            for child in children:
                yield from self.of(child, root)


@dataclass(frozen=True, slots=True)
class Index:
    """`[0]`, or from the end `[-1]`."""

    at: int

    def of(self, value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, list):
            if not -len(value) <= self.at < len(value):
                raise OutOfRange(self.at, len(value))
            yield value[self.at]


@dataclass(frozen=True, slots=True)
class Slice:
    """`[start:end:step]`."""

    start: int | None
    end: int | None
    step: int | None

    def of(self, value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[self.start : self.end : self.step]


@dataclass(frozen=True, slots=True)
class Union:
    """`[0,2]` and `['a','b']`: as kubectl has it, first all that the first leads to."""

    steps: tuple[Single, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """`[?(@.a)]` and `[?(@.a == "b")]`: items that have it, or for which it holds."""

    left: Operand
    compare: Compare | None = None
    right: Operand | None = None

    def of(self, value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from (item for item in value if self._holds(item, root))

    def _holds(self, item: Any, root: Any) -> bool:
        left = _operand(self.left, item, root)
        if self.compare is None or self.right is None:
            return bool(left)
        right = _operand(self.right, item, root)
        return bool(left and right) and self.compare(left[0], right[0])


Single = Field | Quoted | Every | Deep | Index | Slice | Filter
Step = Single | Union


@dataclass(frozen=True, slots=True)
class Path:
    """Steps from the whole document, or from where a range stands."""

    steps: tuple[Step, ...]
    is_absolute: bool = False

    def of(self, value: Any, root: Any) -> list[Any]:
        return list(_along(self.steps, [root if self.is_absolute else value], root))


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in a filter: text, a number, true or false."""

    value: Any


@dataclass(frozen=True, slots=True)
class Range:
    """`{range .items[*]}…{end}`."""

    path: Path
    body: tuple[Part, ...]


Operand = Path | Literal
Part = str | Path | Range


@dataclass(frozen=True, slots=True)
class Template:
    """What `jsonpath.parse` makes of a text."""

    parts: tuple[Part, ...]

    def find(self, data: Any) -> list[Any]:
        """Return every value that a path of the template leads to; raises OutOfRange."""
        results = _results(self.parts, data, data)
        return [each for found in results if isinstance(found, list) for each in found]

    def render(self, data: Any) -> str:
        """Return the text; several values of one path have spaces between them."""
        return "".join(
            each if isinstance(each, str) else " ".join(map(text_of, each))
            for each in _results(self.parts, data, data)
        )


def _results(parts: Sequence[Part], value: Any, root: Any) -> Iterator[str | list[Any]]:
    """Yield text as it stands, and the values of each path."""
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Path):
            yield part.of(value, root)
        else:
            for item in part.path.of(value, root):
                yield from _results(part.body, item, root)


def _along(steps: Iterable[Step], values: list[Any], root: Any) -> list[Any]:
    for step in steps:
        ways = step.steps if isinstance(step, Union) else (step,)
        values = [found for way in ways for value in values for found in way.of(value, root)]
    return values


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _operand(operand: Operand, item: Any, root: Any) -> list[Any]:
    return [operand.value] if isinstance(operand, Literal) else operand.of(item, root)


def text_of(value: Any) -> str:
    """Return a value as text: lists and mappings as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _is_like(one: Any, other: Any) -> bool:
    """Whether two values are of one type; Python would find true equal to 1."""
    return (_is_number(one) and _is_number(other)) or type(one) is type(other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(compare: Compare) -> Compare:
    def holds(one: Any, other: Any) -> bool:
        has_order = isinstance(one, str | int | float)
        return has_order and _is_like(one, other) and compare(one, other)

    return holds


def _equal(one: Any, other: Any) -> bool:
    return _is_like(one, other) and bool(one == other)


COMPARISONS: dict[str, Compare] = {
    "==": _equal,
    "!=": lambda one, other: not _equal(one, other),
    "<=": _ordered(operator.le),
    ">=": _ordered(operator.ge),
    "<": _ordered(operator.lt),
    ">": _ordered(operator.gt),
}
"""Longer ones first: they begin like the others."""
