"""Signals as they come, over HTTP: each listener has a bounded queue, and hears what it missed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import fields, is_dataclass
from typing import Any

import orjson
from starlette.responses import Response, StreamingResponse

from steersman.api.signals import SHIPPED, Exited, Sample, Signal
from steersman.server.ask import Ask
from steersman.server.measured import may_see
from steersman.server.status import ApiError
from steersman.server.streams import ALIVE, alive, ndjson
from steersman.telemetry.hub import Hub

MOST_WAITING = 2000
SSE = "text/event-stream"
_KINDS: Mapping[type[Signal], str] = {
    **{type_: name for name, type_ in SHIPPED.items()},
    Exited: "exits",
}
KINDS = tuple(_KINDS.values())


class Listener:
    """A sink for one client; what does not fit into its queue is counted, the newest stay out."""

    def __init__(self, kinds: frozenset[str], sees: Any, most: int = MOST_WAITING) -> None:
        self._kinds = kinds
        self._sees = sees
        self._most = most
        self._waiting: deque[Signal] = deque()
        self._dropped = 0
        self._news = asyncio.Event()

    def take(self, signal: Signal) -> None:
        if _KINDS[type(signal)] not in self._kinds or not self._sees(signal):
            return
        if len(self._waiting) >= self._most:
            self._dropped += 1
        else:
            self._waiting.append(signal)
        self._news.set()

    async def items(self, hub: Hub) -> AsyncGenerator[dict[str, Any]]:
        """Yield signals as data from now on, and {"dropped": N} where some are missing."""
        with hub.joined(self.take):
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    yield told(self._waiting.popleft())
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    yield {"dropped": dropped}


def told(signal: Signal) -> dict[str, Any]:
    """Return a signal as JSON data: its fields by their names, under the one key that it is."""
    return {_KINDS[type(signal)]: _fields(signal)}


def _fields(value: Any) -> dict[str, Any]:
    return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def app_of(signal: Signal) -> str:
    """Return the app that a signal is of, "" when it is of none."""
    return signal.labels.get("app", "") if isinstance(signal, Sample) else signal.origin.app


async def signals(ask: Ask) -> Response:
    """Tell signals as they come, of one `app` or all, of the `kind`s given (several) or all.

    A line is {KIND: its fields}, {"dropped": N} or {"alive": true}; whoever accepts Server-Sent
    Events is given KIND, or `dropped`, as the event's name.
    """
    app, kinds = ask.text("app"), ask.connection.query_params.getlist("kind")
    unknown = sorted({each for each in kinds if each not in KINDS})
    if unknown:
        raise ApiError(400, f"kind={unknown[0][:40]!r}: it is one of {', '.join(KINDS)}")
    if app is not None and not may_see(ask, app):
        raise ApiError(403, f"{ask.subject.name} may not see what app/{app[:63]} does")

    def sees(signal: Signal) -> bool:
        its = app_of(signal)
        return its == app if app is not None else may_see(ask, its)

    listener = Listener(frozenset(kinds or KINDS), sees)
    parts = ask.parts
    items = alive(listener.items(parts.hub), parts.limits.alive_every, parts.stopping)
    if SSE not in ask.connection.headers.get("accept", ""):
        return ndjson(parts, items)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(ask, items), media_type=SSE, headers=headers)


async def _events(ask: Ask, items: AsyncGenerator[dict[str, Any]]) -> AsyncIterator[bytes]:
    yield b": listening\n\n"
    async with aclosing(items):
        async for item in items:
            if item == ALIVE:
                yield b": alive\n\n"
                continue
            for name, said in item.items():
                yield b"event: " + name.encode() + b"\ndata: " + _json(ask, said) + b"\n\n"


def _json(ask: Ask, item: Any) -> bytes:
    return orjson.dumps(ask.parts.masks.data(item))
