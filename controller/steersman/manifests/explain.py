"""Pydantic's complaints -> places in the file, what was found, what is allowed, and a hint."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from steersman.api.refusal import Path, Refused, quoted
from steersman.manifests.problem import Mark
from steersman.manifests.schema import Schema, choices_in, describe, keys_at, schema_at
from steersman.manifests.tree import Entries, Items, Node, Scalar

_OTHER_WORDS = {
    "replicas": ("count",),
    "instances": ("count",),
    "cmd": ("command",),
    "args": ("command",),
    "environment": ("env",),
    "repo": ("url",),
    "repository": ("url",),
    "branch": ("ref",),
    "tag": ("ref",),
    "commit": ("ref",),
    "revision": ("ref",),
    "hostname": ("host", "address"),
    "domain": ("host",),
    "healthcheck": ("health",),
    "livenessprobe": ("health",),
    "readinessprobe": ("health",),
    "resources": ("limits",),
    "revisionhistorylimit": ("history",),
    "terminationgraceperiodseconds": ("stop",),
    "nodeselector": ("placement",),
    "stringdata": ("data",),
}
"""What others call our keys."""

_INTEGER = re.compile(r"[-+]?[0-9]+")
_YAML_1_1_FLAGS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a document."""

    mark: Mark
    path: Path
    found: str
    allowed: str
    hint: str | None = None


def explain(error: ValidationError, kind: str | Schema, root: Node) -> Iterator[Fault]:
    """Yield what pydantic found wrong with a `kind` read from `root`, each at its place.

    What is no kind, such as a chart's own file, gives its schema instead.
    """
    for each in error.errors(include_url=False, include_input=False):
        path: Path = each["loc"]
        refused = each.get("ctx", {}).get("error")
        if path[-1:] == ("[key]",):
            yield _bad_key(path[:-1], refused, root)
        elif isinstance(refused, Refused):
            yield from _refused(path, refused, root)
        elif each["type"] == "extra_forbidden":
            yield _unknown_key(path, kind, root)
        elif each["type"] == "missing":
            allowed = describe(schema_at(kind, path))
            yield Fault(mark_of(root, path), path, "nothing, and it is required", allowed)
        else:
            yield _misfit(path, kind, root)


def find(root: Node, path: Path) -> Node | None:
    """Return the node at `path`, if there is one."""
    here: Node | None = root
    for part in path:
        if isinstance(here, Entries) and isinstance(part, str):
            here = here.entries.get(part)
        elif isinstance(here, Items) and isinstance(part, int) and part < len(here.items):
            here = here.items[part]
        else:
            return None
    return here


def key_mark_of(root: Node, path: Path) -> Mark:
    """Return where the key of the value at `path` stands."""
    parent = find(root, path[:-1])
    if isinstance(parent, Entries) and path[-1] in parent.key_marks:
        return parent.key_marks[str(path[-1])]
    return mark_of(root, path)


def mark_of(root: Node, path: Path) -> Mark:
    """Return where the value at `path` stands, or the nearest that is there around it.

    A mapping or list is shown at its key: it begins on a later line than people look at.
    """
    while (node := find(root, path)) is None:
        path = path[:-1]
    if isinstance(node, Scalar) or not path:
        return node.mark
    parent = find(root, path[:-1])
    marks = parent.key_marks if isinstance(parent, Entries) else {}
    return marks.get(str(path[-1]), node.mark)


def described(node: Node | None) -> str:
    """Return what a node is, as people call it."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Entries):
        return "a mapping"
    if node is None or node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return str(node.value).lower()
    if isinstance(node.value, str):
        return quoted(node.value)
    return f"the number {node.text}"


def did_you_mean(word: str, choices: Sequence[str]) -> str | None:
    """Return a hint at the choice that `word` looks like, if one does."""
    by_lower = {choice.lower(): choice for choice in choices}
    lower = word.lower().replace("_", "").removeprefix("sig")
    others = [name for name in _OTHER_WORDS.get(lower, ()) if name in choices]
    close = difflib.get_close_matches(lower, by_lower, n=1, cutoff=0.6)
    meant = [*others, *(by_lower[each] for each in close)]
    return f"did you mean {meant[0]}?" if meant else None


def _bad_key(path: Path, refused: object, root: Node) -> Fault:
    mark = key_mark_of(root, path)
    if isinstance(refused, Refused):
        return Fault(mark, path, f"the key {refused.found}", refused.allowed)
    return Fault(mark, path, f"the key {quoted(path[-1])}", "another name")


def _refused(path: Path, refused: Refused, root: Node) -> Iterator[Fault]:
    for each in (refused, *refused.others):
        inner = (*path, *each.at)
        yield Fault(mark_of(root, inner), inner, each.found, each.allowed)


def _unknown_key(path: Path, kind: str | Schema, root: Node) -> Fault:
    key = str(path[-1])
    keys = keys_at(kind, path[:-1])
    return Fault(
        key_mark_of(root, path),
        path,
        f"the unknown key {quoted(key)}",
        ", ".join(keys),
        did_you_mean(key, keys),
    )


def _misfit(path: Path, kind: str | Schema, root: Node) -> Fault:
    node = find(root, path)
    schema = schema_at(kind, path)
    found = _kind_of(node) if kind == "Secret" and path[:1] == ("spec",) else described(node)
    return Fault(mark_of(root, path), path, found, describe(schema), _hint(node, schema))


def _kind_of(node: Node | None) -> str:
    """Return what a node is, without its value, which may be a secret."""
    if not isinstance(node, Scalar) or node.value is None:
        return described(node)
    return "text" if isinstance(node.value, str) else "a number or flag"


def _hint(node: Node | None, schema: Any) -> str | None:
    if not isinstance(node, Scalar):
        return None
    if node.value is None:
        return "fill it in, or remove the key"
    wanted = schema.get("type")
    required = schema.get("required", ())
    if wanted == "object" and len(required) == 1:
        return f"write {{{required[0]}: …}}"
    if choices := choices_in(schema):
        return did_you_mean(node.text, choices)
    if wanted == "array":
        return "write it in [ ]"
    if wanted == "string" and not isinstance(node.value, str):
        return "write it in quotes"
    if wanted == "boolean" and node.text.lower() in _YAML_1_1_FLAGS:
        return f"write {_YAML_1_1_FLAGS[node.text.lower()]}"
    if wanted == "integer" and _INTEGER.fullmatch(node.text) and not node.is_plain:
        return "write it without quotes"
    return None
