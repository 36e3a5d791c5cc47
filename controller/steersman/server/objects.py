"""Objects over HTTP, as Kubernetes has them: get, list, create, replace, patch, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import JSONResponse, Response

from steersman.api.objects import AnyObject
from steersman.control.marks import keeping_ours
from steersman.control.memory import NotFound
from steersman.server.admission import check_scope, parse
from steersman.server.ask import APPLY, JSON, Ask
from steersman.server.patches import BadPatch, merged, patched
from steersman.server.status import ApiError
from steersman.server.writing import written
from steersman.store.errors import Conflict
from steersman.store.protocol import Query, Stored
from steersman.store.selectors import FieldSelector, Selector

MERGE, OPERATIONS = "application/merge-patch+json", "application/json-patch+json"
MOST_LISTED = 500
MANAGER = "api"
TRIES = 5
"""How often an object is replaced anew that others change at the same time."""
CHANGE = "Steersman-Change"


async def get(ask: Ask) -> Response:
    return answered(ask, await found(ask))


async def found(ask: Ask) -> Stored:
    """Return the object of the path; raises NotFound."""
    stored = await ask.parts.store.get(ask.kind, ask.named)
    if stored is None:
        raise NotFound(ask.kind, ask.named[:63])
    return stored


async def list_(ask: Ask) -> Response:
    """List a page of objects; an item that the subject may not get is left out."""
    limit = ask.number("limit", most=MOST_LISTED) or None
    page = await ask.parts.store.page(query_of(ask), limit, ask.text("continue"))
    has_managers = ask.flag("managedFields")
    may = [each for each in page.items if ask.may("get", each.kind, each.object)]
    items = [each.shown if has_managers else each.object for each in may]
    metadata: dict[str, Any] = {"resourceVersion": page.revision}
    if page.token is not None:
        metadata["continue"] = page.token
    if page.remaining is not None and len(items) == len(page.items):
        metadata["remainingItemCount"] = page.remaining
    kind = f"{ask.kind}List"
    return answer(
        {"apiVersion": "steersman/v1", "kind": kind, "metadata": metadata, "items": items}
    )


def query_of(ask: Ask) -> Query:
    """Return which objects are meant by labelSelector, fieldSelector and, where the path names no
    kind, by `kind`; raises BadSelector."""
    return Query(
        frozenset({ask.kind}) if ask.kind in ask.parts.resources else _kinds(ask),
        Selector.parse(ask.text("labelSelector") or ""),
        FieldSelector.parse(ask.text("fieldSelector") or ""),
    )


def _kinds(ask: Ask) -> frozenset[str]:
    known = frozenset(ask.parts.resources)
    wanted = frozenset(ask.connection.query_params.getlist("kind")) or known
    if not wanted <= known:
        raise ApiError(422, f"kind is one of {', '.join(sorted(known))}")
    return wanted


async def create(ask: Ask) -> Response:
    obj = parse(_writable(ask), await ask.body(), None)
    if obj.metadata.uid is not None:
        raise ApiError(400, "metadata.uid is given by the store; leave it out of what is new")
    check_scope(ask, obj, None)
    stored = await written(ask, obj, 0, manager=_manager(ask))
    return answered(ask, stored, 201)


async def replace(ask: Ask) -> Response:
    """Replace an object whole, or make it; metadata.resourceVersion says which state was changed,
    and the header `If-None-Match: *` that there is none yet."""
    obj = parse(_writable(ask), await ask.body(), ask.named)
    is_new = ask.request.headers.get("if-none-match") == "*"
    expected = 0 if is_new else _expected(obj)
    for _ in range(TRIES):
        try:
            stored = await _replaced(ask, obj, expected)
        except Conflict:
            # Whoever says no version means whatever there is, also what came in between.
            if expected is not None:
                raise
            continue
        return answered(ask, stored, 201 if stored.change == "created" else 200)
    raise ApiError(409, f"{ask.kind.lower()}/{ask.named} changes all the time; send it again")


async def _replaced(ask: Ask, obj: AnyObject, expected: int | None) -> Stored:
    """Write an object in the place of what there is, whose annotations of ours it keeps: a client
    that knows nothing of a scale or a cordon must not undo it by saying nothing of it."""
    before = await ask.parts.store.get(ask.kind, ask.named)
    check_scope(ask, obj, None if before is None else before.object)
    version = 0
    if before is not None:
        obj = keeping_ours(obj, before.metadata.get("annotations") or {})
        version = before.resource_version
    return await written(ask, obj, version if expected is None else expected, manager=_manager(ask))


async def patch(ask: Ask) -> Response:
    """Change an object: by a merge patch, a JSON patch, or as one manager of some of its fields."""
    data = await ask.body(APPLY, MERGE, OPERATIONS)
    given = ask.request.headers["content-type"].partition(";")[0].strip().lower()
    if given == APPLY:
        return await _apply(ask, data)
    before = await found(ask)
    target = patched(before.object, data) if given == OPERATIONS else merged(before.object, data)
    obj = parse(_writable(ask), _checked(target, before), ask.named)
    check_scope(ask, obj, before.object)
    # Whoever changed it meanwhile is not overwritten; the patch can be sent again.
    expected = _expected(obj) or before.resource_version
    stored = await written(ask, obj, expected, manager=_manager(ask))
    return answered(ask, stored)


async def _apply(ask: Ask, data: Any) -> Response:
    """Apply the fields that a manager wants; the others stay as they are."""
    manager = ask.text("fieldManager")
    if not manager:
        raise ApiError(400, "an apply needs ?fieldManager=NAME: who wants these fields")
    obj = parse(_writable(ask), data, ask.named)
    before = await ask.parts.store.get(ask.kind, ask.named)
    check_scope(ask, obj, None if before is None else before.object)
    expected = _expected(obj)
    stored = await written(
        ask, obj, expected, manager=manager, force=ask.flag("force"), is_apply=True
    )
    return answered(ask, stored, 201 if stored.change == "created" else 200)


def _checked(target: Any, before: Stored) -> Any:
    """Return what a patch made, without the status; raises BadPatch if it is another object."""
    if not isinstance(target, dict) or not isinstance(target.get("metadata"), dict):
        raise BadPatch("the patch leaves no object: it needs apiVersion, kind, metadata and spec")
    uid = target["metadata"].get("uid", before.uid)
    if uid != before.uid:
        raise BadPatch("metadata.uid cannot be changed")
    return {key: value for key, value in target.items() if key != "status"}


def _expected(obj: AnyObject) -> int | None:
    return obj.metadata.resource_version or None


def _manager(ask: Ask) -> str:
    manager = ask.text("fieldManager") or MANAGER
    if len(manager) > 128 or not manager.isprintable():
        raise ApiError(400, "fieldManager is a name of at most 128 printable characters")
    return manager


def _writable(ask: Ask) -> Any:
    if not ask.resource.is_written:
        raise ApiError(405, f"{ask.resource.plural} are written by the controller only")
    return ask.resource


async def status(ask: Ask) -> Response:
    """Return the object, whose status is read here; only the controller writes it."""
    return await get(ask)


def answered(ask: Ask, stored: Stored, code: int = 200) -> Response:
    """Answer with an object, and in a header with what was done to it."""
    made = answer(stored.shown if ask.flag("managedFields") else stored.object, code)
    made.headers[CHANGE] = stored.change
    return made


def answer(data: Mapping[str, Any], code: int = 200) -> Response:
    """Answer with JSON; a kept secret is a digest in what the store has, and never a value."""
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(data), code, headers=headers, media_type=JSON)


def json_answer(data: Any, code: int = 200) -> JSONResponse:
    return JSONResponse(data, code, headers={"Cache-Control": "no-store"})
