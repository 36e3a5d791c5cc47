"""The door itself: POST /hooks/NAME, answered at once, and at most a look comes of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from steersman.api.errors import SteersmanError
from steersman.server.hooks.config import Hook
from steersman.server.hooks.replays import Replays
from steersman.server.hooks.verify import Forged, single, verify
from steersman.store.protocol import Store

SECONDS_TO_SEND = 10.0
SECONDS_BETWEEN = 6.0
_MOST_SECRETS = 2
# Nobody reads the body: its type only tells a webhook from what a browser could be made to send.
_TYPES = frozenset({"application/json", "application/x-www-form-urlencoded"})

log = structlog.get_logger(__name__)

Wake = Callable[[str], None]
Secrets = Callable[[str], Awaitable[Sequence[str]]]


class HookDoor:
    """Receives deliveries; `app()` is part of the API's application.

    `secrets` returns the values of a Secret by its name; a hook whose Secret is not there, or has
    more values than two, is not there either. `wake` is called with the key of what is to be
    looked at, at most once in SECONDS_BETWEEN for each; no look is ever dropped.
    """

    def __init__(
        self,
        hooks: Mapping[str, Hook],
        store: Store,
        secrets: Secrets,
        wake: Wake,
        *,
        clock: Callable[[], float] = time.time,
        seconds_to_send: float = SECONDS_TO_SEND,
    ) -> None:
        self._hooks = hooks
        self._secrets = secrets
        self._wake = Coalescing(wake)
        self._clock = clock
        self._replays = Replays(store, clock)
        self._seconds_to_send = seconds_to_send

    def app(self) -> Router:
        """Return an application that answers at /hooks/NAME, exactly: it redirects nobody."""
        routes = [Route("/hooks/{name}", self._deliver, methods=["POST"])]
        return Router(routes, redirect_slashes=False)

    async def _deliver(self, request: Request) -> Response:
        name = request.path_params["name"]
        hook = self._hooks.get(name)
        secrets = await self._live(name, hook) if hook is not None else ()
        if hook is None or not secrets:
            return _answer(404, "there is no such hook")
        headers = single(request.headers.raw)
        refusal = _refusal(headers, hook)
        if refusal is not None:
            return refusal
        try:
            async with asyncio.timeout(self._seconds_to_send):
                body = await _body(request, hook.max_body)
        except TimeoutError:
            return _answer(408, "the body took too long")
        except ClientDisconnect:
            return _answer(400, "the body ended early")
        if body is None:
            return _too_large(hook)
        try:
            digest = verify(hook.provider, secrets, headers, body, self._clock())
        except Forged as error:
            log.warning("hook_refused", hook=name, why=str(error))
            return _answer(401, str(error))
        return await self._look(name, hook, digest)

    async def _look(self, name: str, hook: Hook, digest: str) -> Response:
        try:
            is_new = await self._replays.is_new(name, digest)
        except SteersmanError as error:
            log.warning("hook_not_remembered", hook=name, why=str(error))
            return _answer(503, "the store does not take it just now; deliver it again")
        if not is_new:
            log.info("hook_replayed", hook=name)
            return _answer(202, "this delivery came before")
        log.info("hook_received", hook=name, key=hook.key)
        self._wake(hook.key)
        return _answer(202, f"{hook.key} is looked at")

    async def _live(self, name: str, hook: Hook) -> Sequence[str]:
        try:
            secrets = await self._secrets(hook.secret)
        except SteersmanError as error:
            log.warning("hook_without_secret", hook=name, why=str(error))
            return ()
        if len(secrets) > _MOST_SECRETS:
            log.warning("hook_with_many_secrets", hook=name, secret=hook.secret, most=_MOST_SECRETS)
            return ()
        return secrets


class Coalescing:
    """Wakes a key at once, and once more later for all that is asked meanwhile."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._asked: dict[str, bool] = {}

    def __call__(self, key: str) -> None:
        if key in self._asked:
            self._asked[key] = True
            return
        self._wake(key)
        self._asked[key] = False
        asyncio.get_running_loop().call_later(SECONDS_BETWEEN, self._rest_is_over, key)

    def _rest_is_over(self, key: str) -> None:
        if self._asked.pop(key):
            self(key)


def _refusal(headers: Mapping[str, str], hook: Hook) -> Response | None:
    """Return why a delivery is refused before a byte of its body is read."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() not in _TYPES:
        return _answer(415, f"the content type must be {' or '.join(sorted(_TYPES))}")
    if headers.get("content-encoding", "identity").lower() != "identity":
        return _answer(415, "a compressed body is not read")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        return _answer(400, "the content length is no number")
    # Python reads numbers of at most 4300 digits.
    return _too_large(hook) if len(length) > 12 or int(length) > hook.max_body else None


async def _body(request: Request, most: int) -> bytes | None:
    """Return the whole body, or None as soon as it is longer than `most`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def _too_large(hook: Hook) -> Response:
    more = "raise the hook's maxBody in serve.yaml, or leave it to polling"
    return _answer(413, f"the body has more than {hook.max_body} bytes; {more}")


def _answer(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)
