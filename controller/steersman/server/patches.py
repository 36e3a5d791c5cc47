"""Patches of plain JSON: RFC 7386 (merge) and RFC 6902 (operations)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from steersman.api.errors import SteersmanError

MOST_OPERATIONS = 1000
# A `copy` of a copy of a copy doubles each time.
MOST_COPIED = 20_000


class BadPatch(SteersmanError):
    """A patch that cannot be read, or does not fit what it is applied to."""


class ProbeFailed(BadPatch):
    """A `test` of a JSON patch found another value."""


def merged(target: Any, patch: Any) -> Any:
    """Return `target` with a merge patch applied: null removes, lists are replaced (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def patched(target: Any, operations: Any) -> Any:
    """Return `target` with the operations of a JSON patch applied; raises BadPatch, ProbeFailed."""
    if not isinstance(operations, list) or len(operations) > MOST_OPERATIONS:
        raise BadPatch(f"a JSON patch is a list of at most {MOST_OPERATIONS} operations")
    document = {"": copy.deepcopy(target)}
    for number, operation in enumerate(operations):
        try:
            _apply(document, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise BadPatch(
                f"operation {number} of the patch does not fit: {_why(error)}; see RFC 6902"
            ) from error
    return document[""]


def _why(error: Exception) -> str:
    return f"nothing at {error}" if isinstance(error, KeyError) else str(error)


def _apply(document: dict[str, Any], operation: Any) -> None:
    if not isinstance(operation, dict):
        raise TypeError("an operation is a mapping with op and path")
    op, path = operation["op"], _tokens(operation["path"])
    match op:
        case "add":
            _add(document, path, copy.deepcopy(operation["value"]))
        case "remove":
            _remove(document, path)
        case "replace":
            _remove(document, path)
            _add(document, path, copy.deepcopy(operation["value"]))
        case "move" | "copy":
            source = _tokens(operation["from"])
            if op == "move" and path[: len(source)] == source and path != source:
                raise ValueError("a value cannot move into itself")
            value = copy.deepcopy(_get(document, source))
            if op == "copy" and _size(value) > MOST_COPIED // MOST_OPERATIONS:
                raise ValueError("what is copied is too large; write it out")
            if op == "move":
                _remove(document, source)
            _add(document, path, value)
        case "test":
            if not _is_same(_get(document, path), operation["value"]):
                raise ProbeFailed(f"the test of {operation['path']} found another value")
        case _:
            raise ValueError("op is one of add, remove, replace, move, copy and test")


def _tokens(pointer: Any) -> list[str]:
    """Return the parts of a JSON pointer (RFC 6901), under the "" that is the whole document."""
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise ValueError("a path begins with a slash")
    parts = pointer.split("/")[1:]
    return ["", *(part.replace("~1", "/").replace("~0", "~") for part in parts)]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[_index(document, part)]
    return document


def _add(document: Any, path: list[str], value: Any) -> None:
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        index = len(parent) if last == "-" else _number(last)
        if index > len(parent):
            raise IndexError(f"the list has only {len(parent)} items")
        parent.insert(index, value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise TypeError("only a mapping or a list holds others")


def _remove(document: Any, path: list[str]) -> None:
    parent = _get(document, path[:-1])
    del parent[_index(parent, path[-1])]


def _index(parent: Any, part: str) -> Any:
    if isinstance(parent, list):
        return _number(part)
    if isinstance(parent, dict):
        return part
    raise TypeError("only a mapping or a list holds others")


def _number(part: str) -> int:
    if not (part.isascii() and part.isdecimal()) or (len(part) > 1 and part[0] == "0"):
        raise ValueError(f"{part[:20]!r} is no place in a list")
    return int(part[:18])


def _size(value: Any) -> int:
    """Return how many values are in a value, with itself."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inside))


def _is_same(one: Any, other: Any) -> bool:
    """Compare as JSON does: true is not 1, while 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        same_length = len(one) == len(other)
        return same_length and all(map(_is_same, one, other))
    return bool(one == other)
