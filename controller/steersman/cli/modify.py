"""What edit, patch, label and annotate share: which objects, and how a change is made and told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from steersman.api.errors import SteersmanError
from steersman.api.objects import MANIFEST_KINDS
from steersman.cli.app import Tools
from steersman.cli.kinds import Reference
from steersman.store.errors import Conflict, NotStored

if TYPE_CHECKING:
    from steersman.cli.context import Work
    from steersman.cli.progress import Lines
    from steersman.control.editing import Edit, Edited
    from steersman.manifests import Sourced

Document = dict[str, Any]
Change = Callable[[Document], Document]
"""Makes of a manifest what it should be; must not change what it is given."""

TRIES = 5
# What the store writes into metadata; whoever changes an object says nothing of it.
_OWNED = ("uid", "generation", "resourceVersion", "creationTimestamp", "deletionTimestamp")


class Fault(NamedTuple):
    """What is wrong with a text, and the line, if it is one's."""

    line: int | None
    message: str

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"


class NotValid(SteersmanError):
    """A change would make an object that is none."""

    def __init__(self, key: str, faults: Sequence[Fault]) -> None:
        told = "".join(f"\n* {fault}" for fault in faults)
        kind = key.partition("/")[0]
        super().__init__(
            f"{key} would not be valid:{told}\n`steer explain {kind}` tells what may stand where"
        )
        self._key = key
        self._faults = tuple(faults)

    def below(self, lines: int) -> NotValid:
        """Return the error for a text that has so many lines before it."""
        faults = [f._replace(line=f.line and f.line + lines) for f in self._faults]
        return NotValid(self._key, faults)


@dataclass(frozen=True, slots=True)
class How:
    """In whose name a change is made, and the words for it."""

    manager: str
    word: str
    unchanged: str = "unchanged"
    is_dry: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """An object to change."""

    kind: str
    name: str

    @property
    def key(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


async def targets_of(
    work: Work, wanted: Sequence[Reference], selector: str | None, is_all: bool
) -> list[Target]:
    """Return the objects that are meant; raises UsageError for kinds that nobody writes."""
    from steersman.store.selectors import Selector

    for each in wanted:
        if each.kind.kind not in MANIFEST_KINDS:
            raise click.UsageError(
                f"{each.kind.plural} are written by the controller alone; change what they are of"
            )
        if (each.name is None) != (is_all or selector is not None):
            raise click.UsageError(
                f"which {each.kind.plural}? name them, or choose by -l LABELS or --all"
            )
    found = []
    for each in wanted:
        if each.name is not None:
            found.append(Target(each.kind.kind, each.name))
            continue
        stored = await work.store.list(each.kind.kind, Selector.parse(selector or ""))
        found += [Target(one.kind, one.name) for one in stored]
    if not found:
        click.echo("no objects found", err=True)
    return found


def manifest_of(obj: Mapping[str, Any]) -> Document:
    """Return a stored object as its manifest: without status and what the store owns."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in _OWNED and v not in ({}, [])}
    rest = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, **rest}


def read_manifest(text: str, key: str) -> Sourced:
    """Return the object that YAML says, which must be the one of `key`; raises NotValid."""
    from steersman.manifests import ManifestErrors, load

    try:
        found = load(("-",), stdin=text.encode()).objects
    except ManifestErrors as errors:
        marked = [(p.mark.line if p.mark is not None else None, p.message) for p in errors.problems]
        raise NotValid(key, [Fault(*each) for each in marked]) from None
    keys = [f"{each.obj.kind.lower()}/{each.obj.name}" for each in found]
    if keys != [key]:
        what = f"it is {', '.join(keys)} now; its kind and name cannot be changed"
        raise NotValid(key, [Fault(None, what)])
    return found[0]


async def modify(
    work: Work, targets: Sequence[Target], change: Change, how: How
) -> tuple[dict[Target, str | SteersmanError], list[Edited]]:
    """Change objects; return what came of each, and of what was rolled out for them.

    What somebody else changes at the same moment is read and changed again.
    """
    results: dict[Target, str | SteersmanError] = {}
    done: list[Edited] = []
    pending = list(targets)
    for _ in range(TRIES):
        edits: dict[Target, Edit] = {}
        for target in pending:
            try:
                edit = await _edit(work, target, change, how.word)
            except SteersmanError as error:
                results[target] = error
                continue
            if edit is None:
                results[target] = "unchanged"
            else:
                edits[target] = edit
        if not edits:
            break
        put = work.controller.editing.put
        edited = await put(list(edits.values()), manager=how.manager, is_dry=how.is_dry)
        results |= dict(zip(edits, edited.results, strict=True))
        done.append(edited)
        pending = [target for target in edits if isinstance(results[target], Conflict)]
    return results, done


async def _edit(work: Work, target: Target, change: Change, word: str) -> Edit | None:
    """Return the changed object, None if nothing changes; raises what is wrong with it."""
    from steersman.cli.documents import write_documents
    from steersman.control.editing import Edit

    stored = await work.store.get(target.kind, target.name)
    if stored is None:
        raise NotStored(target.kind, target.name)
    document = manifest_of(stored.object)
    changed = change(document)
    if changed == document:
        return None
    sourced = read_manifest(write_documents([changed], "yaml"), target.key)
    (read,) = await work.secrets.read([sourced])
    return Edit(read.obj, stored.resource_version, word)


def tell(
    results: Mapping[Target, str | SteersmanError], done: Sequence[Edited], report: Lines, how: How
) -> None:
    """Say what was not said while it was done; raise an ExceptionGroup of what went wrong."""
    from steersman.cli.outcomes import conclude

    for target, result in results.items():
        if result == "unchanged":
            click.echo(f"{target.key} {how.unchanged}")
        elif how.is_dry and not isinstance(result, SteersmanError):
            click.echo(f"{target.key} {how.word} (dry run)")
    conclude(
        [outcome for each in done for outcome in each.outcomes],
        report,
        [job for each in done for job in each.jobs],
        [error for error in results.values() if isinstance(error, SteersmanError)],
    )


def run_change(
    tools: Tools,
    wanted: Sequence[Reference],
    change: Change,
    how: How,
    *,
    selector: str | None = None,
    is_all: bool = False,
) -> None:
    """Change the objects that are meant and roll out what that touches; raises what went wrong."""
    import asyncio

    from steersman.cli.progress import progress

    async def changed(report: Lines) -> None:
        from steersman.cli.context import opened

        async with opened(tools, report) as work:
            targets = await targets_of(work, wanted, selector, is_all)
            results, done = await modify(work, targets, change, how)
        tell(results, done, report, how)

    with progress() as report:
        asyncio.run(changed(report))
