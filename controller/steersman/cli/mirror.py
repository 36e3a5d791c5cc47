"""The dashboard on this machine, fed by a daemon elsewhere: the page is ours, its data are not."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from steersman.api.errors import SteersmanError
from steersman.client.api import ROOT, Api
from steersman.server.dashboard import PATH, dashboard_app, to_dashboard

_PASSED = ("content-type", "x-accel-buffering")


def mirror(api: Api, key: str) -> Starlette:
    """Return an application that passes reading requests with the bearer token `key` on.

    Every user of this machine reaches it; only who was given the key sees anything.
    """

    async def look(request: Request) -> Response:
        if not _is_ours(request, key):
            return _refusal(
                401, "this page's key is not this one: open the link that steer printed"
            )
        return await _passed_on(api, request)

    routes = [
        Route("/", to_dashboard, methods=["GET"]),
        Mount(f"/{PATH}", app=dashboard_app()),
        Route(ROOT + "/{path:path}", look, methods=["GET"]),
    ]
    return Starlette(routes=routes)


def _is_ours(request: Request, key: str) -> bool:
    # A page of another name that leads here (DNS rebinding) has another Host.
    host = request.headers.get("host", "").rpartition(":")[0]
    given = request.headers.get("authorization", "").encode()
    return host in ("127.0.0.1", "localhost") and hmac.compare_digest(
        given, f"Bearer {key}".encode()
    )


async def _passed_on(api: Api, request: Request) -> Response:
    opened = AsyncExitStack()
    accept = request.headers.get("accept", "*/*")
    try:
        answer = await opened.enter_async_context(
            api.looked_at(request.url.path, request.url.query.encode(), accept)
        )
    except SteersmanError as error:
        return _refusal(502, str(error))

    async def body() -> AsyncIterator[bytes]:
        async with opened:
            async for part in answer.aiter_raw():
                yield part

    headers = {name: answer.headers[name] for name in _PASSED if name in answer.headers}
    return StreamingResponse(body(), answer.status_code, headers | {"Cache-Control": "no-store"})


def _refusal(code: int, message: str) -> Response:
    return JSONResponse({"message": message, "code": code}, code)
