"""Objects that an admin's client keeps for itself, such as Installations: stored as they come."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from steersman.server.admission import unmanaged
from steersman.server.ask import APPLY, JSON, Ask, mapping, typed
from steersman.server.objects import answered
from steersman.server.status import ApiError
from steersman.store.errors import NotStored
from steersman.store.protocol import Propagation, Stored


async def replace(ask: Ask) -> Response:
    """Store an object whole; with `If-None-Match: *` it must not be there yet."""
    data = await _object(ask)
    expected, uid = _expected(ask, data)
    manager = ask.text("fieldManager") or "api"
    stored = await ask.parts.store.put(data, expected, uid=uid, manager=manager, dry_run=ask.is_dry)
    return await _written(ask, stored)


async def apply(ask: Ask) -> Response:
    data = await _object(ask, APPLY)
    expected, uid = _expected(ask, data)
    stored = await ask.parts.store.apply(
        data,
        ask.text("fieldManager") or "",
        force=ask.flag("force"),
        expected_resource_version=expected,
        uid=uid,
        dry_run=ask.is_dry,
    )
    return await _written(ask, stored)


async def put_status(ask: Ask) -> Response:
    data = await _object(ask)
    expected, uid = _expected(ask, data)
    status = typed(data, "status", dict, {})
    stored = await ask.parts.store.put_status(
        ask.kind, ask.named, status, expected, uid=uid, dry_run=ask.is_dry
    )
    return answered(ask, stored)


async def delete(ask: Ask) -> Response:
    body = await ask.options("propagationPolicy", "preconditions")
    wanted = mapping(typed(body, "preconditions", dict, {}), ("uid", "resourceVersion"))
    stored = await ask.parts.store.delete(
        ask.kind,
        ask.named,
        typed(wanted, "resourceVersion", int),
        uid=typed(wanted, "uid", str),
        propagation=_propagation(typed(body, "propagationPolicy", str, "Background")),
        dry_run=ask.is_dry,
    )
    if stored is None:
        raise NotStored(ask.kind, ask.named[:63])
    return await _written(ask, stored)


def _propagation(policy: str) -> Propagation:
    match policy.lower():
        case "background" | "foreground" | "orphan" as word:
            return word
        case _:
            raise ApiError(422, "propagationPolicy is Background, Foreground or Orphan")


async def _object(ask: Ask, type_: str = JSON) -> dict[str, Any]:
    if not ask.subject.is_admin:
        raise ApiError(403, f"only an admin keeps {ask.kind} objects")
    data = await ask.body(type_)
    metadata = data.get("metadata") if isinstance(data, dict) else None
    if not isinstance(metadata, dict) or data.get("kind") != ask.kind:
        raise ApiError(422, f"send an object of kind {ask.kind}, with metadata")
    if metadata.get("name") != ask.named:
        raise ApiError(400, "metadata.name is another than the path says")
    return {**data, "metadata": unmanaged(metadata)}


def _expected(ask: Ask, data: dict[str, Any]) -> tuple[int | None, str | None]:
    """Return the version and the uid that the object is expected to have."""
    version = typed(data["metadata"], "resourceVersion", int)
    is_new = ask.request.headers.get("if-none-match") == "*"
    return (0 if is_new else version), typed(data["metadata"], "uid", str)


async def _written(ask: Ask, stored: Stored) -> Response:
    return answered(ask, stored, 201 if stored.change == "created" else 200)
