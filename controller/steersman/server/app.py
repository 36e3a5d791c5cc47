"""The API as one ASGI application: its doors behind the guard, each with its rule."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from steersman.api.errors import SteersmanError
from steersman.api.objects import plural_of
from steersman.server.ask import Ask
from steersman.server.discovery import group_list, resource_list, version
from steersman.server.doors import Door, Rule, doors, rule_of
from steersman.server.guard import Guard, own_admins, subject_of
from steersman.server.openapi import document
from steersman.server.parts import Parts
from steersman.server.policy import READING, VERBS, Verb, allows, denial
from steersman.server.resources import GROUP, VERSION, app_of
from steersman.server.status import ApiError, failure

log = structlog.get_logger(__name__)

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def make_app(
    parts: Parts,
    *,
    names: Collection[str] = (),
    admins: Collection[int] | None = None,
    others: Mapping[str, ASGIApp] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """Return the API. `names` are the Hosts that it is known by besides localhost, `admins` the
    uids that are admin by a Unix socket: root's and our own, unless told otherwise.

    `others` are doors that know by themselves who may come in, such as hooks, by their first path
    segment. Raises NoRule for a door that nobody guards.
    """
    opened = doors(parts.resources.values())
    routes = [*_open(parts), *_discovery(parts, opened)]
    routes += [_route(parts, door) for door in opened]
    routes += [Mount(f"/{name}", app=app) for name, app in (others or {}).items()]

    async def failed(connection: Request | WebSocket, error: Exception) -> Response:
        request = connection if isinstance(connection, Request) else None
        return failure(_ours(error), parts.masks, request)

    handlers = {HTTPException: failed, SteersmanError: failed, ExceptionGroup: failed}
    app = Starlette(routes=routes, exception_handlers={**handlers, Exception: failed})
    app.router.redirect_slashes = False
    return Guard(
        app,
        tokens=parts.tokens,
        masks=parts.masks,
        limits=parts.limits,
        hosts={*LOCAL_NAMES, *(name.lower() for name in names)},
        admins=own_admins() if admins is None else admins,
        open_doors=frozenset(f"/{name}/" for name in others or {}),
        clock=clock,
    )


def _ours(error: Exception) -> Exception:
    if not isinstance(error, HTTPException):
        return error
    texts = {404: "there is nothing at this path; /openapi/v3 lists what there is"}
    return ApiError(
        error.status_code,
        texts.get(error.status_code, error.detail),
        headers=error.headers,
    )


def _route(parts: Parts, door: Door) -> BaseRoute:
    rule = rule_of(door)
    if door.converse is not None:
        return WebSocketRoute(door.path, _conversing(parts, door, rule))
    return Route(door.path, _serving(parts, door, rule), methods=[door.method])


def _serving(parts: Parts, door: Door, rule: Rule) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        began = time.monotonic()
        response: Response | None = None
        try:
            if request.method == "HEAD":
                raise ApiError(405, "HEAD is not answered; use GET")
            ask = await _asked(parts, request, door, rule)
            if door.serve is None:
                raise ApiError(400, "this path takes a WebSocket")
            response = await door.serve(ask)
        except (SteersmanError, ExceptionGroup) as error:
            response = failure(error, parts.masks, request)
        finally:
            code = response.status_code if response is not None else 500
            _log(request, code, time.monotonic() - began, is_reading=rule in READING)
        return response

    return serve


def _conversing(parts: Parts, door: Door, rule: Rule) -> Callable[[WebSocket], Awaitable[None]]:
    async def converse(socket: WebSocket) -> None:
        try:
            ask = await _asked(parts, socket, door, rule)
        except SteersmanError as error:
            response = failure(error, parts.masks)
            _log(socket, response.status_code, 0.0, is_reading=False)
            await socket.send_denial_response(response)
            return
        _log(socket, 101, 0.0, is_reading=False)
        if door.converse is not None:
            await door.converse(ask, socket)

    return converse


async def _asked(parts: Parts, connection: HTTPConnection, door: Door, rule: Rule) -> Ask:
    """Return the request as one that may come in; raises ApiError."""
    subject = subject_of(connection)
    name = connection.path_params.get("name")
    verb: Verb = rule if rule in VERBS else "get"
    ask = Ask(connection, parts, subject, verb, door.kind, name)
    if rule in ("by body", "anybody known") or subject.is_admin:
        return ask
    app = await _owner(parts, door.kind, name) if name is not None else None
    if not allows(subject, verb, door.kind, app):
        what = f"{door.kind.lower()}/{name[:63]}" if name is not None else plural_of(door.kind)
        raise ApiError(403, denial(subject, verb, what))
    return ask


async def _owner(parts: Parts, kind: str, name: str) -> str | None:
    if kind == "App":
        return name
    stored = await parts.store.get(kind, name)
    return app_of(kind, stored.object) if stored is not None else None


def _log(connection: HTTPConnection, code: int, seconds: float, *, is_reading: bool) -> None:
    say = log.debug if is_reading and code < 400 else log.info
    say(
        "api_request_served",
        who=subject_of(connection).name,
        method=connection.scope.get("method", "WEBSOCKET"),
        path=str(connection.scope["path"])[:200],
        code=code,
        ms=round(seconds * 1000, 1),
    )


def _open(parts: Parts) -> list[BaseRoute]:
    """What anybody may ask: whether the daemon is there."""

    async def healthy(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        why = parts.is_ready()
        if why or parts.stopping.is_set():
            raise ApiError(503, why or "the daemon is stopping")
        return JSONResponse({"status": "ok"})

    async def told_version(request: Request) -> Response:
        return JSONResponse(version())

    return [
        Route("/healthz", healthy, methods=["GET"]),
        Route("/readyz", ready, methods=["GET"]),
        Route("/version", told_version, methods=["GET"]),
    ]


def _discovery(parts: Parts, opened: list[Door]) -> list[BaseRoute]:
    published = document(opened, parts.resources.values())

    async def openapi(request: Request) -> Response:
        return JSONResponse(published)

    async def groups(request: Request) -> Response:
        return JSONResponse(group_list())

    async def resources(request: Request) -> Response:
        return JSONResponse(resource_list(parts.resources.values()))

    return [
        Route("/openapi/v3", openapi, methods=["GET"]),
        Route("/apis", groups, methods=["GET"]),
        Route(f"/apis/{GROUP}", groups, methods=["GET"]),
        Route(f"/apis/{GROUP}/{VERSION}", resources, methods=["GET"]),
    ]
