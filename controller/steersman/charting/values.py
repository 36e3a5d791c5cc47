"""Values with the place that each one came from, and Helm's rules for laying one over another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as File

from steersman.api.refusal import Path
from steersman.manifests.document import Text
from steersman.manifests.explain import Fault
from steersman.manifests.problem import Mark, Problem, dotted
from steersman.manifests.scalars import Value as Scalar
from steersman.manifests.tree import Entries, Items, Node


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was said: a place in a file, or a flag, which has no lines."""

    source: Text
    mark: Mark | None = None

    def problem(self, path: Path, found: str, allowed: str, hint: str | None = None) -> Problem:
        if self.mark is None:
            return Problem(self.source.name, None, dotted(path), found, allowed, hint)
        return self.source.problem(Fault(self.mark, path, found, allowed, hint))


def flagged(name: str) -> Origin:
    """Return the origin of what a flag says, or anything else without lines."""
    return Origin(Text(name, File(), ""))


@dataclass(frozen=True, slots=True)
class Value:
    """A value and its origin; its parts have their own."""

    data: Scalar | Mapping[str, Value] | tuple[Value, ...]
    origin: Origin = field(repr=False, compare=False)

    @property
    def entries(self) -> Mapping[str, Value]:
        """The entries of a mapping; none of anything else."""
        return self.data if isinstance(self.data, Mapping) else {}

    @property
    def plain(self) -> object:
        """The value as dict, list, str, int, float, bool or None."""
        if isinstance(self.data, Mapping):
            return {key: each.plain for key, each in self.data.items()}
        if isinstance(self.data, tuple):
            return [each.plain for each in self.data]
        return self.data

    def plain_entries(self) -> dict[str, object]:
        """Return the entries of a mapping as plain data."""
        return {key: each.plain for key, each in self.entries.items()}


def value_of(node: Node, source: Text, mark: Mark | None = None) -> Value:
    """Return what a tree says. A mapping or list counts as written at its key."""
    origin = Origin(source, mark or node.mark)
    if isinstance(node, Entries):
        parts = {
            key: value_of(each, source, node.key_marks.get(key))
            for key, each in node.entries.items()
        }
        return Value(parts, origin)
    if isinstance(node, Items):
        return Value(tuple(value_of(each, source) for each in node.items), origin)
    return Value(node.value, origin)


def value_from(data: object, origin: Origin) -> Value:
    """Return plain data as a value of one origin."""
    if isinstance(data, Mapping):
        return Value({str(key): value_from(each, origin) for key, each in data.items()}, origin)
    if isinstance(data, list | tuple):
        return Value(tuple(value_from(each, origin) for each in data), origin)
    if data is None or isinstance(data, str | int | float):
        return Value(data, origin)
    raise TypeError(f"no value: {type(data).__name__}")


def merged(base: Value, over: Value) -> Value:
    """Return both as one: mappings are merged, of anything else `over` replaces `base`."""
    if not isinstance(base.data, Mapping) or not isinstance(over.data, Mapping):
        return over
    parts = dict(base.data)
    for key, value in over.data.items():
        parts[key] = merged(parts[key], value) if key in parts else value
    return Value(parts, over.origin)


def over_defaults(defaults: Value, given: Value) -> Value:
    """Return a chart's defaults with what is given laid over them; null removes what it names."""
    if not isinstance(given.data, Mapping):
        return given
    parts = dict(defaults.entries)
    for key, value in given.data.items():
        if value.data is None:
            parts.pop(key, None)
        else:
            parts[key] = over_defaults(parts.get(key, Value({}, value.origin)), value)
    return Value(parts, defaults.origin)


def nearest(root: Value, path: Path) -> Value:
    """Return the value at `path`, or the last there is on the way to it."""
    here = root
    for part in path:
        if isinstance(here.data, Mapping) and part in here.data:
            here = here.data[str(part)]
        elif isinstance(here.data, tuple) and isinstance(part, int) and part < len(here.data):
            here = here.data[part]
        else:
            break
    return here


def leaves(root: Value, path: Path = ()) -> Iterator[tuple[Path, Value]]:
    """Yield every value that has no parts, with its path."""
    if isinstance(root.data, Mapping):
        for key, value in root.data.items():
            yield from leaves(value, (*path, key))
    elif isinstance(root.data, tuple):
        for number, value in enumerate(root.data):
            yield from leaves(value, (*path, number))
    else:
        yield path, root
