"""What applying would change of the objects themselves, with secrets as their digests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from steersman.api.objects import AnyObject, parse_object
from steersman.api.secret import Secret
from steersman.control.session import Session
from steersman.manifests.document import Sourced


class ObjectChange(NamedTuple):
    """What an object says before and after; `before` is None where there is none yet."""

    key: str
    before: dict[str, Any] | None
    after: dict[str, Any]


async def changes_of(session: Session, sourced: Sequence[Sourced]) -> list[ObjectChange]:
    """Return each object that would change."""
    changes, memory, vault = [], session.memory, session.vault
    for each in sourced:
        target = each.obj
        if isinstance(target, Secret):
            target = await vault.masked(target, await vault.with_kept(target, target.given()))
        stored = await memory.store.get(target.kind, target.name)
        seen = parse_object(stored.object) if stored is not None else None
        change = object_change(seen, await memory.with_our_annotations(target))
        if change.before != change.after:
            changes.append(change)
    return changes


def object_change(seen: AnyObject | None, target: AnyObject) -> ObjectChange:
    """Return what two states of an object say; defaults are left out."""
    before = said(seen) if seen is not None else None
    return ObjectChange(f"{target.kind.lower()}/{target.name}", before, said(target))


def said(obj: AnyObject) -> dict[str, Any]:
    """Return what somebody says of an object: labels, annotations and spec, without defaults."""
    document: dict[str, Any] = obj.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        exclude_defaults=True,
        include={"metadata": {"labels", "annotations"}, "spec": True},
    )
    return {key: value for key, value in document.items() if value}
