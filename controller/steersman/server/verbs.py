"""The verbs that change things, told of as they go, and the plans of what they would do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from steersman.api.secret import Secret
from steersman.control.answers import (
    encode_applied,
    encode_edited,
    encode_job_plans,
    encode_outcome,
    encode_outcomes,
    encode_planned,
)
from steersman.control.apply import Controller
from steersman.control.changes import changes_of
from steersman.control.editing import Edit
from steersman.manifests.document import Sourced
from steersman.planning.plans import Plan
from steersman.server.admission import check_scope, parse, sourced, with_values
from steersman.server.ask import Ask, mapping, typed
from steersman.server.objects import json_answer
from steersman.server.policy import Verb
from steersman.server.status import ApiError, invalid
from steersman.server.streams import told

MOST_OBJECTS = 1000
MOST_COUNT = 10_000


async def apply(ask: Ask) -> Response:
    """Remember objects and bring all that they touch to its hosts."""
    body = mapping(await ask.body(), ("objects", "inventory"))
    objects, inventory = await _given(ask, body), typed(body, "inventory", str)
    if inventory is not None and not (inventory.isprintable() and 0 < len(inventory) <= 253):
        raise ApiError(422, "inventory: a name of 1 to 253 printable characters")

    async def work() -> Any:
        for each in objects:
            key, kind, name = each.obj.key, each.obj.kind, each.obj.name
            await ask.note("Applied", f"applied {key}", kind=kind, name=name)
        return encode_applied(await ask.parts.controller.apply(objects, inventory=inventory))

    return told(ask, work)


async def diff(ask: Ask) -> Response:
    objects = await _objects(ask)

    async def work() -> Any:
        return encode_outcomes(await ask.parts.controller.diff(objects))

    return told(ask, work)


async def job_plans(ask: Ask) -> Response:
    objects = [each.obj for each in await _objects(ask)]

    async def work() -> Any:
        return encode_job_plans(await ask.parts.controller.jobs.diff(objects))

    return told(ask, work)


async def changes(ask: Ask) -> Response:
    """Return what of each object would change: without a value of a Secret, as everywhere."""
    found = await changes_of(ask.parts.session, await _objects(ask))
    return json_answer({"changes": [each._asdict() for each in found]})


async def plan(ask: Ask) -> Response:
    """Tell what applying objects would do, or bringing named apps back, as a plan to keep."""
    body = mapping(await ask.body(), ("objects", "names"))
    objects, names = await _given(ask, body), typed(body, "names", list, [])
    _check_apps(ask, "diff", names)

    async def work() -> Any:
        return encode_planned(await ask.parts.controller.plans.make(objects, names))

    return told(ask, work)


async def carry_out(ask: Ask) -> Response:
    """Do what a plan says, or nothing where something has moved."""
    body = mapping(await ask.body(), ("objects", "plan"))
    objects, given = await _given(ask, body), typed(body, "plan", dict, {})
    try:
        planned = Plan.model_validate(given, by_alias=True, by_name=False)
    except ValidationError as error:
        raise invalid("Plan", error) from None
    _check_apps(ask, "rollout", planned.apps)

    async def work() -> Any:
        for name in planned.apps:
            await ask.note("Applied", f"carried out a plan for app/{name}", kind="App", name=name)
        return encode_applied(await ask.parts.controller.plans.apply(planned, objects))

    return told(ask, work)


def _check_apps(ask: Ask, verb: Verb, names: Iterable[Any]) -> None:
    for name in names:
        if not isinstance(name, str):
            raise ApiError(422, "names: a list of apps")
        ask.must(verb, "App", {"metadata": {"name": name}})


async def edit(ask: Ask) -> Response:
    """Remember whole objects, each as somebody read and changed it, and roll out what changed."""
    body = mapping(await ask.body(), ("edits", "manager", "dry"))
    listed, manager = typed(body, "edits", list, []), typed(body, "manager", str, "api")
    is_dry = typed(body, "dry", bool, False)
    if not manager.isprintable() or not 0 < len(manager) <= 128:
        raise ApiError(422, "manager: a name of 1 to 128 printable characters")
    given = [mapping(each, ("object", "expected", "word")) for each in listed]
    objects = await _given(ask, {"objects": [each.get("object") for each in given]})
    edits = [
        Edit(obj.obj, typed(each, "expected", int, 0), typed(each, "word", str, "configured")[:40])
        for obj, each in zip(objects, given, strict=True)
    ]

    async def work() -> Any:
        for each in edits if not is_dry else ():
            target = each.target
            key = f"{target.kind.lower()}/{target.name}"
            await ask.note("Changed", f"{each.word} {key}", kind=target.kind, name=target.name)
        put = ask.parts.controller.editing.put
        return encode_edited(await put(edits, manager=manager, is_dry=is_dry))

    return told(ask, work)


async def drift(ask: Ask) -> Response:
    async def work() -> Any:
        return encode_outcomes(await ask.parts.controller.drift([ask.named]))

    return told(ask, work)


async def _objects(ask: Ask) -> list[Sourced]:
    return await _given(ask, mapping(await ask.body(), ("objects",)))


async def _given(ask: Ask, body: Mapping[str, Any]) -> list[Sourced]:
    """Return the objects of a body, each allowed to who asks; raises ApiError."""
    given = typed(body, "objects", list, [])
    if len(given) > MOST_OBJECTS:
        raise ApiError(413, f"{len(given)} objects; send at most {MOST_OBJECTS} at once")
    by_kind = {each.kind: each for each in ask.parts.resources.values() if each.is_written}
    found = []
    for data in given:
        kind = data.get("kind") if isinstance(data, Mapping) else None
        if not isinstance(kind, str) or kind not in by_kind:
            raise ApiError(422, f"kind {str(kind)[:40]!r}: it is one of {', '.join(by_kind)}")
        obj = parse(by_kind[kind], data, None)
        before = await ask.parts.store.get(kind, obj.name)
        check_scope(ask, obj, before.object if before is not None else None)
        if isinstance(obj, Secret):
            obj = await with_values(obj, ask.parts.keys)
        found.append(sourced(obj))
    return found


Steer = Callable[[Controller, str, Mapping[str, Any]], Awaitable[Any]]


async def _restart(controller: Controller, app: str, given: Mapping[str, Any]) -> Any:
    return encode_outcome(await controller.steering.restart(app))


async def _pause(controller: Controller, app: str, given: Mapping[str, Any]) -> Any:
    await controller.steering.pause(app)


async def _resume(controller: Controller, app: str, given: Mapping[str, Any]) -> Any:
    return encode_outcome(await controller.steering.resume(app))


async def _promote(controller: Controller, app: str, given: Mapping[str, Any]) -> Any:
    is_full = typed(given, "full", bool, False)
    return encode_outcome(await controller.steering.promote(app, is_full=is_full))


async def _abort(controller: Controller, app: str, given: Mapping[str, Any]) -> Any:
    return encode_outcome(await controller.steering.abort(app))


async def _undo(controller: Controller, app: str, given: Mapping[str, Any]) -> Any:
    to, is_forced = typed(given, "to", int), typed(given, "force", bool, False)
    return encode_outcome(await controller.steering.undo(app, to, is_forced=is_forced))


async def _scale(controller: Controller, app: str, given: Mapping[str, Any]) -> Any:
    counts = typed(given, "counts", dict, {})
    for process, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST_COUNT:
            raise ApiError(422, f"counts.{process[:40]}: a whole number from 0 to {MOST_COUNT}")
    if not counts:
        raise ApiError(422, "counts: name at least one process")
    return encode_outcome(await controller.steering.scale(app, counts))


STEERING: Mapping[str, tuple[Steer, Sequence[str]]] = {
    "restart": (_restart, ()),
    "pause": (_pause, ()),
    "resume": (_resume, ()),
    "promote": (_promote, ("full",)),
    "abort": (_abort, ()),
    "undo": (_undo, ("to", "force")),
    "scale": (_scale, ("counts",)),
}
"""What may be done to an app's rollout, and which options each takes."""


def steering(verb: str) -> Callable[[Ask], Awaitable[Response]]:
    """Return what serves one verb of STEERING."""
    steer, options = STEERING[verb]

    async def serve(ask: Ask) -> Response:
        given = await ask.options(*options)

        async def work() -> Any:
            await ask.note("Steered", f"{verb} of app/{ask.named}")
            return await steer(ask.parts.controller, ask.named, given)

        return told(ask, work)

    return serve
