"""What applying would change of the objects themselves, as small unified diffs of YAML."""

import difflib
from collections.abc import Sequence
from typing import Any

from steersman.api.objects import AnyObject, parse_object
from steersman.api.secret import Secret
from steersman.cli.documents import write_documents
from steersman.cli.text import printable
from steersman.control.session import Session
from steersman.manifests import Sourced


async def changes_of(session: Session, sourced: Sequence[Sourced]) -> list[str]:
    """Return the diff of each object that would change, with secrets as their digests."""
    diffs, memory, vault = [], session.memory, session.vault
    for each in sourced:
        target = each.obj
        if isinstance(target, Secret):
            target = await vault.masked(target, await vault.with_kept(target, target.given()))
        stored = await memory.store.get(target.kind, target.name)
        seen = parse_object(stored.object) if stored is not None else None
        diff = object_diff(seen, await memory.with_our_annotations(target))
        if diff:
            diffs.append(diff)
    return diffs


def object_diff(seen: AnyObject | None, target: AnyObject) -> str:
    """Return what of an object would change, "" if nothing; defaults are left out."""
    key = f"{target.kind.lower()}/{target.name}"
    before = _lines(seen) if seen is not None else []
    now = "now" if seen is not None else "absent"
    diff = difflib.unified_diff(before, _lines(target), f"{key} ({now})", f"{key} (applied)", n=2)
    return "".join(printable(line.rstrip("\n")) + "\n" for line in diff)


def _lines(obj: AnyObject) -> list[str]:
    document: dict[str, Any] = obj.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        exclude_defaults=True,
        include={"metadata": {"labels", "annotations"}, "spec": True},
    )
    said = {key: value for key, value in document.items() if value}
    return write_documents([said], "yaml").splitlines(keepends=True)
