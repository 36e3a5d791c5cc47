"""How an object that was let in is remembered: checked with the others, secrets by the vault."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from steersman.api.objects import AnyObject, dump_object, parse_object
from steersman.api.secret import Secret
from steersman.server.admission import with_values
from steersman.server.ask import Ask
from steersman.server.status import ApiError
from steersman.store.protocol import Object, Stored


class _Write(Protocol):
    async def __call__(self, target: Object, *, dry_run: bool = False) -> Stored: ...


async def written(
    ask: Ask,
    obj: AnyObject,
    expected: int | None,
    *,
    manager: str,
    force: bool = False,
    is_apply: bool = False,
) -> Stored:
    """Remember `obj` unless the request is a dry run; return it as it is, or would be, stored.

    With `is_apply` it names what its manager wants, else the whole object. Raises NotAdmitted,
    Conflict, FieldConflict and what else the store refuses.
    """
    store = ask.parts.store
    write: _Write
    if not is_apply:
        write = partial(
            store.put, expected_resource_version=expected, manager=manager, uid=obj.metadata.uid
        )
    else:
        write = partial(
            store.apply,
            manager=manager,
            expected_resource_version=expected,
            uid=obj.metadata.uid,
            force=force,
        )
    if isinstance(obj, Secret):
        return await _write_secret(ask, obj, write, is_apply=is_apply)
    target = _named(obj) if is_apply else dump_object(obj)
    would_be = await write(target, dry_run=True)
    await _admit(ask, would_be.object)
    if ask.is_dry:
        return would_be
    stored = await write(target)
    await _told(ask, stored)
    return stored


def _named(obj: AnyObject) -> Object:
    """Return what an apply names, in the form in which everything is stored."""
    named: Object = obj.model_dump(
        mode="json", by_alias=True, exclude_unset=True, exclude_none=True, exclude={"status"}
    )
    return {**named, "apiVersion": obj.api_version, "kind": obj.kind}


async def _admit(ask: Ask, would_be: Object) -> None:
    """Raise NotAdmitted unless the object, as it would be, fits to all others."""
    obj = parse_object(would_be)
    if obj.kind in ("App", "Host", "Job", "Plugin"):
        await ask.parts.controller.admit([obj])


async def _write_secret(ask: Ask, secret: Secret, write: _Write, *, is_apply: bool) -> Stored:
    """Keep the values in the vault and digests of them in the store; answer with the digests."""
    vault = ask.parts.session.vault
    # One after the other: what is checked here must still hold when it is written.
    async with ask.parts.secret_writes:
        opened = await with_values(secret, ask.parts.keys)
        values = await vault.with_kept(opened, opened.given())
        masked = await vault.masked(opened, values)
        target = _named(masked) if is_apply else dump_object(masked)
        would_be = await write(target, dry_run=True)
        if ask.is_dry:
            return would_be
        whole = parse_object(would_be.object)
        if not isinstance(whole, Secret):
            raise ApiError(400, "this is no Secret")
        made: list[Stored] = []

        async def put(_: Object) -> Stored:
            made.append(await write(target))
            return made[-1]

        await vault.put(whole, values, write=put)
    await _told(ask, made[-1])
    return await ask.parts.store.get("Secret", secret.name) or made[-1]


async def _told(ask: Ask, stored: Stored) -> None:
    """Record who wrote it."""
    if stored.change != "unchanged":
        reasons = {"created": "Created", "deleted": "Deleted"}
        reason = reasons.get(stored.change, "Changed")
        message = f"{stored.change} {stored.kind.lower()}/{stored.name} through the API"
        await ask.note(reason, message, name=stored.name)
