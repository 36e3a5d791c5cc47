"""The guard before every door: whose request it is, and whether it may come in at all."""

from __future__ import annotations

import os
import pwd
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steersman.api.errors import SteersmanError
from steersman.api.mask import Masks
from steersman.server.limits import BoundedBody, Buckets, Limits, too_many
from steersman.server.policy import ADMIN, Subject
from steersman.server.status import ApiError, failure
from steersman.server.tokens import TokenRefused, Tokens

log = structlog.get_logger(__name__)

OPEN = frozenset({"/healthz", "/readyz", "/version"})
"""What anybody may ask who reaches the daemon: whether it is there, and nothing else."""


class Guard:
    """ASGI middleware: puts the Subject into scope["state"]["subject"], or answers itself."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens,
        masks: Masks,
        limits: Limits,
        hosts: Collection[str],
        admins: Collection[int],
        open_doors: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._masks = masks
        self._limits = limits
        self._hosts = frozenset(hosts)
        self._admins = frozenset(admins)
        self._open_doors = tuple(open_doors)
        self._asked = Buckets(limits.burst, limits.rate, clock)
        self._failed = Buckets(limits.failures, 1 / limits.failure_pause, clock)
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        bounded = BoundedBody(receive, self._limits)
        try:
            self._check_headers(scope, bounded)
            if scope["path"] in OPEN or scope["path"].startswith(self._open_doors):
                subject = Subject("anybody")
            else:
                subject = await self._subject(scope)
                self._check_rate(scope, subject)
            scope.setdefault("state", {})["subject"] = subject
            with self._counted(subject):
                await self._app(scope, bounded if scope["type"] == "http" else receive, send)
        except SteersmanError as error:
            await self._refuse(error, scope, receive, send)

    async def _refuse(
        self, error: SteersmanError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        response = failure(error, self._masks)
        path = str(scope["path"])[:200]
        log.warning("api_request_refused", path=path, code=response.status_code, why=str(error))
        if isinstance(error, TokenRefused) or response.status_code == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="steersman"'
        if scope["type"] == "websocket":
            await _deny(response, scope, send)
        else:
            await response(scope, receive, send)

    def _check_headers(self, scope: Scope, body: BoundedBody) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if length.isdecimal():
            body.check(int(length[:18]))
        if _peer(scope) is not None:
            return  # no browser speaks to a Unix socket
        host = headers.get("host", "").lower()
        if _without_port(host) not in self._hosts:
            raise ApiError(
                421,
                "this daemon is not known by that Host; use a name of its certificate, or add it to"
                " `api.names` in its configuration",
                reason="Misdirected",
            )
        origin = headers.get("origin")
        if origin is not None and (urlsplit(origin).netloc.lower() != host):
            raise ApiError(403, "requests of other web pages are refused")

    async def _subject(self, scope: Scope) -> Subject:
        header = Headers(scope=scope).get("authorization")
        peer = _peer(scope)
        if header is None:
            if peer is not None and peer in self._admins:
                return Subject(f"user {_user(peer)}", (ADMIN,))
            raise ApiError(401, "this needs a token; get one by `steer token create`")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise ApiError(401, "only `Authorization: Bearer TOKEN` is understood")
        client = scope.get("client")
        # The id tells apart who fails here, so that one address cannot lock all others out.
        key = (client[0] if client else peer, token[:22])
        wait = self._failed.wait(key)
        if wait > 0:
            raise too_many(wait, "wrong tokens")
        try:
            return await self._tokens.subject(token.strip())
        except TokenRefused:
            self._failed.take(key)
            raise

    def _check_rate(self, scope: Scope, subject: Subject) -> None:
        if _peer(scope) is not None and subject.is_admin:
            return
        wait = self._asked.wait(subject.name)
        if wait > 0:
            raise too_many(wait, "requests")
        self._asked.take(subject.name)

    @contextmanager
    def _counted(self, subject: Subject) -> Iterator[None]:
        """Bound how many requests of a subject are under way: each watch is one, for long."""
        if self._open[subject.name] >= self._limits.streams and not subject.is_admin:
            raise too_many(1, "requests at once")
        self._open[subject.name] += 1
        try:
            yield
        finally:
            self._open[subject.name] -= 1
            if not self._open[subject.name]:
                del self._open[subject.name]


def subject_of(request: HTTPConnection) -> Subject:
    """Return who the guard found to be asking."""
    found = request.scope["state"]["subject"]
    return found if isinstance(found, Subject) else Subject("nobody")


def _peer(scope: Scope) -> int | None:
    """Return the uid at the other end of a Unix socket; the listener put it there."""
    peer = scope.get("state", {}).get("peer")
    return peer if isinstance(peer, int) else None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[")
    return host.partition(":")[0]


async def _deny(response: JSONResponse, scope: Scope, send: Send) -> None:
    """Refuse a WebSocket by an answer that says why, where the server can give one."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    start: Message = {
        "type": "websocket.http.response.start",
        "status": response.status_code,
        "headers": response.raw_headers,
    }
    await send(start)
    await send({"type": "websocket.http.response.body", "body": bytes(response.body)})


def own_admins() -> tuple[int, ...]:
    """Return who is admin by the uid alone: root, and whoever the daemon runs as."""
    return (0, os.geteuid())
