"""YAML text -> trees that know where every key and value stands; built from events, in one pass."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import yaml

from steersman.api.refusal import Path, Refused, quoted
from steersman.manifests.problem import Mark
from steersman.manifests.scalars import Value, check_collection_tag, read_scalar

MAX_DEPTH = 20
MAX_NODES = 10_000


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without parts; `text` is how it was written, less its quotes."""

    mark: Mark
    value: Value
    text: str
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    mark: Mark
    items: list["Node"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping; its keys are always text. `key_marks` says where each key stands."""

    mark: Mark
    entries: dict[str, "Node"] = field(default_factory=dict)
    key_marks: dict[str, Mark] = field(default_factory=dict)


Node = Scalar | Items | Entries
Report = Callable[[Mark, Path, Refused], None]


class Unreadable(Exception):
    """The rest of a file cannot be read; the reason was reported."""


def data_of(node: Node) -> object:
    """Return the node as plain data: dict, list, str, int, float, bool or None."""
    if isinstance(node, Entries):
        return {key: data_of(value) for key, value in node.entries.items()}
    if isinstance(node, Items):
        return [data_of(item) for item in node.items]
    return node.value


def read_trees(text: str, report: Report) -> Iterator[Node]:
    """Yield the root of each document that holds something.

    What is wrong goes to `report`; Unreadable is raised where reading cannot go on.
    """
    builder = _Builder(report)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            root = builder.take(event)
            if root is not None:
                yield root
    except yaml.MarkedYAMLError as error:
        report(_place_of(error), (), _translated(error))
        raise Unreadable from error
    except yaml.YAMLError as error:
        report(Mark(1, 1), (), Refused(f"broken YAML: {error}", "valid YAML"))
        raise Unreadable from error


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being filled."""

    node: Items | Entries
    path: Path
    key: str | None = None

    def child(self) -> Path:
        if isinstance(self.node, Items):
            return (*self.path, len(self.node.items))
        return self.path if self.key is None else (*self.path, self.key)


class _Builder:
    """Turns events into nodes with a stack of its own, so that depth costs no recursion."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._stack: list[_Open] = []
        self._root: Node | None = None
        self._nodes = 0

    def take(self, event: yaml.Event) -> Node | None:
        """Take one event; return a document's root when it ends one that is not empty."""
        if isinstance(event, yaml.DocumentEndEvent):
            root, self._root = self._root, None
            return None if isinstance(root, Scalar) and root.value is None else root
        if isinstance(event, yaml.NodeEvent):
            self._take_node(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._stack.pop()
        return None

    def _take_node(self, event: yaml.NodeEvent) -> None:
        mark = _mark(event.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(mark, f"more than {MAX_NODES} values", "fewer; split the file")
        if event.anchor is not None:
            self._refuse_anchor(mark, event)
        if isinstance(event, yaml.ScalarEvent):
            self._take_scalar(mark, event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(mark, event)
        else:
            # An alias stands for a value we did not copy: an empty one keeps the tree whole.
            self._place(Scalar(mark, None, "", is_plain=True))

    def _refuse_anchor(self, mark: Mark, event: yaml.NodeEvent) -> None:
        sigil = "*" if isinstance(event, yaml.AliasEvent) else "&"
        name = "alias" if sigil == "*" else "anchor"
        self._report(
            mark,
            self._path(),
            Refused(
                f"the {name} {quoted(f'{sigil}{event.anchor}')}",
                "values written out; anchors and aliases are not read",
            ),
        )

    def _take_scalar(self, mark: Mark, event: yaml.ScalarEvent) -> None:
        # libyaml says "" for a plain scalar where PyYAML's own parser says None.
        is_plain = not event.style
        tag = event.tag
        value: Value = None
        try:
            value = read_scalar(event.value, tag, is_plain=is_plain)
            if "\0" in event.value:
                raise Refused("a NUL character", "text without NUL")
        except Refused as refused:
            self._report(mark, self._path(), refused)
        self._place(Scalar(mark, value, event.value, is_plain))

    def _open(self, mark: Mark, event: yaml.CollectionStartEvent) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._stop(mark, f"more than {MAX_DEPTH} levels of nesting", "fewer")
        is_list = isinstance(event, yaml.SequenceStartEvent)
        try:
            check_collection_tag(event.tag, "seq" if is_list else "map")
        except Refused as refused:
            self._report(mark, self._path(), refused)
        node = Items(mark) if is_list else Entries(mark)
        path = self._path()
        self._place(node)
        self._stack.append(_Open(node, path))

    def _place(self, node: Node) -> None:
        if not self._stack:
            self._root = node
            return
        parent = self._stack[-1]
        if isinstance(parent.node, Items):
            parent.node.items.append(node)
        elif parent.key is None:
            parent.key = self._key(parent.node, parent.path, node)
        else:
            # The first of two equal keys stays; the second was reported.
            parent.node.entries.setdefault(parent.key, node)
            parent.key = None

    def _key(self, mapping: Entries, path: Path, node: Node) -> str:
        if not isinstance(node, Scalar):
            found = "a list" if isinstance(node, Items) else "a mapping"
            self._report(node.mark, path, Refused(f"{found} as a key", "text as a key"))
            mapping.key_marks.setdefault("", node.mark)
            return ""
        first = mapping.key_marks.setdefault(node.text, node.mark)
        if first is not node.mark:
            again = Refused(
                f"the key {quoted(node.text)} again, first on line {first.line}",
                "each key once",
            )
            self._report(node.mark, (*path, node.text), again)
        return node.text

    def _path(self) -> Path:
        return self._stack[-1].child() if self._stack else ()

    def _stop(self, mark: Mark, found: str, allowed: str) -> None:
        self._report(mark, (), Refused(found, allowed))
        raise Unreadable


class _Position(Protocol):
    """A place as either of PyYAML's two parsers gives it; it counts from 0."""

    line: int
    column: int


def _mark(mark: _Position | None) -> Mark:
    return Mark(1, 1) if mark is None else Mark(mark.line + 1, mark.column + 1)


def _place_of(error: yaml.MarkedYAMLError) -> Mark:
    # A quote that never closes is noticed at the end, but missing where it began.
    if error.context_mark is not None and "end of stream" in str(error.problem):
        return _mark(error.context_mark)
    return _mark(error.problem_mark or error.context_mark)


_TRANSLATIONS = (
    ("mapping values are not allowed", 'one "key: value" on a line; quote a text that has ": "'),
    (
        "cannot start any token",
        "spaces to indent, and quotes around text that starts with @ ` or %",
    ),
    ("did not find expected key", "the keys of one mapping in the same column"),
    ("did not find expected '-' indicator", "the items of one list in the same column"),
    ("could not find expected ':'", 'a colon and a space after each key: "key: value"'),
    ("found unexpected end of stream", "every quote and bracket closed"),
    ("did not find expected ',' or", "commas between items, and every bracket closed"),
)


def _translated(error: yaml.MarkedYAMLError) -> Refused:
    problem = str(error.problem)
    allowed = next((text for part, text in _TRANSLATIONS if part in problem), "valid YAML")
    context = f" {error.context}" if error.context else ""
    began = error.context_mark
    since = f" that began on line {began.line + 1}" if context and began is not None else ""
    return Refused(f"broken YAML ({problem}{context}{since})", allowed)
