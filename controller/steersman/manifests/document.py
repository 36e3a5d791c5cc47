"""One YAML document: its place, its tree, and the object that it says."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as File

from pydantic import ValidationError

from steersman.api.app import App
from steersman.api.host import Host
from steersman.api.objects import KINDS, MANIFEST_KINDS, AnyObject
from steersman.api.refusal import Path, Refused, quoted
from steersman.manifests.explain import (
    Fault,
    described,
    did_you_mean,
    explain,
    find,
    mark_of,
)
from steersman.manifests.problem import Mark, Problem, dotted
from steersman.manifests.tree import Entries, Node, Scalar, data_of

_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_SECRET = re.compile(r"kind\W+secret", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Text:
    """A file that was read; `name` is how people called it."""

    name: str
    base_dir: File
    text: str = field(repr=False)

    def problem(self, fault: Fault, *, is_shown: bool | None = None) -> Problem:
        """Return `fault` with its place and line.

        Unless `is_shown` says so, no line of a file that speaks of a Secret is shown: before a
        document is read, nobody knows which of its lines hold one.
        """
        shown = _SECRET.search(self.text) is None if is_shown is None else is_shown
        lines = _LINE_BREAK.split(self.text) if shown else []
        line = fault.mark.line - 1
        return Problem(
            file=self.name,
            mark=fault.mark,
            path=dotted(fault.path),
            found=fault.found,
            allowed=fault.allowed,
            hint=fault.hint,
            excerpt=lines[line] if line < len(lines) else None,
        )


@dataclass(frozen=True, slots=True)
class Sourced:
    """An object, and where its manifest says it."""

    obj: AnyObject
    source: Text
    root: Node = field(repr=False)

    @property
    def file(self) -> str:
        return self.source.name

    @property
    def line(self) -> int:
        return self.root.mark.line

    @property
    def base_dir(self) -> File:
        """The folder that relative paths of the manifest count from."""
        return self.source.base_dir

    def problem(self, path: Path, found: str, allowed: str, hint: str | None = None) -> Problem:
        """Return a problem at `path` (camelCase keys), for checks that come after loading."""
        fault = Fault(mark_of(self.root, path), path, found, allowed, hint)
        return self.source.problem(fault, is_shown=self.obj.kind != "Secret")


def read_object(source: Text, root: Node) -> Sourced | list[Problem]:
    """Return the object that a document says, or everything that is wrong with it."""
    kind = _kind(root)
    if isinstance(kind, Fault):
        # A lone text may be anything, a password too.
        return [source.problem(kind, is_shown=False if isinstance(root, Scalar) else None)]
    is_shown = kind != "Secret"
    faults = list(_missing_version(root))
    try:
        obj = KINDS[kind].model_validate(data_of(root), by_alias=True, by_name=False)
    except ValidationError as error:
        faults += explain(error, kind, root)
    if faults:
        return [source.problem(fault, is_shown=is_shown) for fault in faults]
    return Sourced(_anchored(obj, source.base_dir), source, root)


def _kind(root: Node) -> str | Fault:
    if not isinstance(root, Entries):
        allowed = "a mapping with apiVersion, kind, metadata and spec"
        found = "a lone value" if isinstance(root, Scalar) else described(root)
        return Fault(root.mark, (), found, allowed)
    kind = data_of(root.entries["kind"]) if "kind" in root.entries else None
    allowed = " or ".join(MANIFEST_KINDS)
    mark = mark_of(root, ("kind",))
    if not isinstance(kind, str):
        found = described(find(root, ("kind",)))
        return Fault(mark, ("kind",), found, allowed)
    if kind in MANIFEST_KINDS:
        return kind
    if kind in KINDS:
        return Fault(mark, ("kind",), f"{kind}, which only the controller writes", allowed)
    return Fault(mark, ("kind",), quoted(kind), allowed, did_you_mean(kind, MANIFEST_KINDS))


def _missing_version(root: Node) -> Iterator[Fault]:
    if find(root, ("apiVersion",)) is None:
        yield Fault(root.mark, ("apiVersion",), "nothing, and it is required", "steersman/v1")


def _anchored(obj: AnyObject, base_dir: File) -> AnyObject:
    """Make the local paths of an object absolute: later, nobody knows the manifest's folder."""
    if isinstance(obj, App) and obj.spec.source.path is not None:
        source = obj.spec.source.model_copy(
            update={"path": _absolute(obj.spec.source.path, base_dir)}
        )
        return obj.model_copy(update={"spec": obj.spec.model_copy(update={"source": source})})
    if isinstance(obj, Host) and obj.spec.identity is not None:
        # A leading ~ is the home of whoever connects, which is not known here.
        if obj.spec.identity.startswith("~"):
            return obj
        identity = _absolute(obj.spec.identity, base_dir)
        return obj.model_copy(update={"spec": obj.spec.model_copy(update={"identity": identity})})
    return obj


def _absolute(path: str, base_dir: File) -> str:
    return os.path.normpath(os.path.join(os.path.abspath(base_dir), path))


def fault_of(mark: Mark, path: Path, refused: Refused) -> Fault:
    """Return a refusal as a fault at its place."""
    return Fault(mark, path, refused.found, refused.allowed)
