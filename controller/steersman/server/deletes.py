"""Deleting an object over HTTP, with all that it left on hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from steersman.control.answers import encode_outcomes
from steersman.control.deleting import Cascade, Meant
from steersman.control.memory import NotFound
from steersman.control.outcome import Outcome
from steersman.server.ask import Ask, mapping, typed
from steersman.server.objects import answered, found
from steersman.server.status import ApiError
from steersman.server.streams import NDJSON, told
from steersman.store.protocol import Stored

OPTIONS = (
    *("apiVersion", "kind", "propagationPolicy", "preconditions", "dryRun"),
    "gracePeriodSeconds",
)


async def delete(ask: Ask) -> Response:
    """Remove an object with all that it left on hosts; tells of it if NDJSON is accepted."""
    body = await ask.options(*OPTIONS)
    cascade, meant = _cascade(ask, body), _meant(body)
    before = await found(ask)
    if ask.is_dry or body.get("dryRun"):
        await _check(ask, meant)
        return _deleted(ask, before)

    async def work() -> list[Outcome]:
        await ask.note("Deleted", f"deletes {ask.kind.lower()}/{ask.named} ({cascade})")
        return await ask.parts.controller.delete(ask.kind, ask.named, cascade, meant)

    if NDJSON in ask.request.headers.get("accept", ""):

        async def outcomes() -> Any:
            return encode_outcomes(await work())

        return told(ask, outcomes)
    _refuse_left(await work())
    return _deleted(ask, before)


def _deleted(ask: Ask, before: Stored) -> Response:
    return answered(ask, Stored(before.object, "deleted", before.managed))


def _refuse_left(outcomes: Sequence[Outcome]) -> None:
    """Raise why an app is still on its hosts: its object stays then."""
    faults = [each.error for each in outcomes if each.error is not None]
    faults += [host.error for each in outcomes for host in each.hosts if host.error is not None]
    if faults:
        raise ExceptionGroup("not deleted", faults)


def _cascade(ask: Ask, body: Mapping[str, Any]) -> Cascade:
    policy = typed(body, "propagationPolicy", str) or ask.text("propagationPolicy") or "Background"
    match policy.lower():
        case "background" | "foreground":
            return "background"
        case "orphan":
            return "orphan"
        case _:
            raise ApiError(422, "propagationPolicy is Background, Foreground or Orphan")


def _meant(body: Mapping[str, Any]) -> Meant:
    wanted = mapping(typed(body, "preconditions", dict, {}), ("uid", "resourceVersion"))
    return Meant(typed(wanted, "uid", str), typed(wanted, "resourceVersion", int))


async def _check(ask: Ask, meant: Meant) -> None:
    """Raise Conflict or UidConflict unless the object is the one that is meant, or NotFound."""
    store, kind, name = ask.parts.store, ask.kind, ask.named
    if await store.delete(kind, name, meant.version, uid=meant.uid, dry_run=True) is None:
        raise NotFound(kind, name[:63])
