"""Fields of an object, one by one, and sets of them in Kubernetes' `fieldsV1` form.

A path is a tuple of Kubernetes' path elements: `f:NAME` for a map's key, `v:VALUE` and `k:KEYS` for
an item of the two lists that are sets. All other lists are single values.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from steersman.store.plain import text_of

Path = tuple[str, ...]
Fields = dict[Path, Any]
"""The values at the ends of an object: scalars, lists and empty maps."""

FieldsV1 = dict[str, Any]

OWNED = frozenset(
    {
        "uid",
        "generation",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "managedFields",
    }
)
"""Metadata that the store itself writes; whatever a caller puts there is ignored."""

_FINALIZERS = ("f:metadata", "f:finalizers")
_OWNERS = ("f:metadata", "f:ownerReferences")
_SETS = (_FINALIZERS, _OWNERS)
_APART = frozenset(("apiVersion", "kind", "metadata", "status"))


def fields_of(obj: Mapping[str, Any]) -> Fields:
    """Return every field of an object that somebody can manage: its status is nobody's."""
    found: Fields = {}
    for key, value in obj["metadata"].items():
        if key != "name" and key not in OWNED:
            _walk(("f:metadata", f"f:{key}"), value, found)
    for key, value in obj.items():
        if key not in _APART:
            _walk((f"f:{key}",), value, found)
    return found


def with_field(obj: dict[str, Any], path: Path, value: Any) -> None:
    """Set a field in `obj`, making the maps above it."""
    *above, last = path
    if above and tuple(above) in _SETS:
        items = obj["metadata"].setdefault(above[1][2:], [])
        items[:] = [*(item for item in items if _element(path, item) != last), value]
        return
    node = obj
    for element in above:
        below = node.get(element[2:])
        if not isinstance(below, dict):
            below = node[element[2:]] = {}
        node = below
    # An empty map says that there is a map, not that nothing is in it.
    if value != {} or not isinstance(node.get(last[2:]), dict):
        node[last[2:]] = value


def without_field(obj: dict[str, Any], path: Path, kept: Collection[Path]) -> None:
    """Remove a field from `obj`, and the maps above it that this leaves empty, but none in `kept`.

    metadata and spec stay.
    """
    *above, last = path
    nodes: list[Any] = [obj]
    for element in above:
        nodes.append(nodes[-1][element[2:]])
    if isinstance(nodes[-1], list):
        nodes[-1][:] = [item for item in nodes[-1] if _element(path, item) != last]
    elif above:
        del nodes[-1][last[2:]]
    for depth in range(len(above), 1, -1):
        if not nodes[depth] and path[:depth] not in kept:
            del nodes[depth - 1][path[depth - 1][2:]]


def dotted(path: Path) -> str:
    """Return a path as people write it: `spec.processes.web.count`, `metadata.finalizers["x"]`."""
    parts = (f".{e[2:]}" if e.startswith("f:") else f"[{e[2:]}]" for e in path)
    return "".join(parts).removeprefix(".")


def encoded(paths: Iterable[Path]) -> FieldsV1:
    """Return a set of paths as Kubernetes' `fieldsV1`."""
    root: FieldsV1 = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _without_lone_dots(root)


def decoded(fields: FieldsV1) -> frozenset[Path]:
    """Return the set of paths that `fieldsV1` stands for."""
    return frozenset(_paths(fields, ()))


def _walk(path: Path, value: Any, found: Fields) -> None:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            _walk((*path, f"f:{key}"), below, found)
    elif path in _SETS:
        for item in value:
            found[(*path, _element(path, item))] = item
    else:
        found[path] = value


def _element(path: Path, item: Any) -> str:
    if path[:2] == _FINALIZERS:
        return f"v:{text_of(item).decode()}"
    keys = {key: item.get(key) for key in ("kind", "name")}
    return f"k:{text_of(keys).decode()}"


def _without_lone_dots(node: FieldsV1) -> FieldsV1:
    if node.keys() == {"."}:
        return {}
    return {key: _without_lone_dots(below) if below else {} for key, below in node.items()}


def _paths(node: FieldsV1, path: Path) -> Iterator[Path]:
    if not node or "." in node:
        yield path
    for element, below in node.items():
        if element != ".":
            yield from _paths(below, (*path, element))
