"""Answers that go on: a JSON value a line, as things happen, and a sign of life in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import orjson
import structlog
from starlette.responses import StreamingResponse

from steersman.api.errors import SteersmanError
from steersman.control.faults import encode_all, encode_error
from steersman.control.told import Teller
from steersman.control.turns import patient
from steersman.server.ask import Ask
from steersman.server.parts import Parts

log = structlog.get_logger(__name__)

NDJSON = "application/x-ndjson"
ALIVE = {"alive": True}
LONGEST_WAIT = 24 * 3600
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Data = dict[str, Any]


class Feed:
    """What is told to one listener; once it has gone, nothing is kept for it."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[Data | None] = asyncio.Queue()
        self._is_heard = True

    def put(self, item: Data) -> None:
        if self._is_heard:
            self._items.put_nowait(item)

    def end(self) -> None:
        self._items.put_nowait(None)

    async def items(self, alive_every: float) -> AsyncGenerator[Data]:
        """Yield what is told, and ALIVE whenever that was nothing for `alive_every` seconds."""
        try:
            while True:
                try:
                    async with asyncio.timeout(alive_every):
                        item = await self._items.get()
                except TimeoutError:
                    yield ALIVE
                    continue
                if item is None:
                    return
                yield item
        finally:
            self._is_heard = False


def told(ask: Ask, work: Callable[[], Awaitable[Any]]) -> StreamingResponse:
    """Do `work` and tell of it: what it reports, then {"outcome": …} or {"faults": […]}.

    It goes on to its end in the daemon, whether or not the client stays to hear of it. The
    parameter `lockTimeout` says how many seconds it waits for others who work on the same.
    """
    feed, parts = Feed(), ask.parts
    patience = ask.number("lockTimeout", most=LONGEST_WAIT)

    async def run() -> None:
        try:
            with patient(patience), parts.relay.listening(Teller(feed.put)):
                feed.put({"outcome": await work()})
        except (SteersmanError, ExceptionGroup) as error:
            feed.put({"faults": _faults(error)})
        except Exception as error:
            feed.put({"faults": [bug(error)]})
        finally:
            feed.end()

    parts.works.start(run())
    return ndjson(parts, feed.items(parts.limits.alive_every))


def _faults(error: Exception) -> list[Data]:
    try:
        return encode_all(error)
    except Exception as unknown:
        return [bug(unknown)]


def bug(error: Exception) -> Data:
    """Return what a client is told of a bug of ours; the log is told all."""
    log.error("api_work_failed", exc_info=error)
    return encode_error(
        SteersmanError("something is wrong in the daemon itself; its log says what: report it")
    )


def ndjson(parts: Parts, items: AsyncGenerator[Data]) -> StreamingResponse:
    """Answer with a line for each item, secrets masked; ends when the daemon stops."""

    async def lines() -> AsyncIterator[bytes]:
        async with aclosing(items):
            async for item in items:
                yield orjson.dumps(parts.masks.data(item)) + b"\n"

    return StreamingResponse(lines(), media_type=NDJSON, headers=_HEADERS)


async def alive(
    items: AsyncGenerator[Data], every: float, stopping: asyncio.Event
) -> AsyncGenerator[Data]:
    """Yield `items` as they come, ALIVE in between, until they or the daemon end."""
    stop = asyncio.ensure_future(stopping.wait())
    step: asyncio.Future[Data | None] | None = None
    try:
        while not stopping.is_set():
            step = step if step is not None else asyncio.ensure_future(anext(items, None))
            waiting: set[asyncio.Future[Any]] = {step, stop}
            await asyncio.wait(waiting, timeout=every, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                if not stop.done():
                    yield ALIVE
                continue
            item, step = step.result(), None
            if item is None:
                return
            yield item
    finally:
        stop.cancel()
        if step is not None:
            step.cancel()
            await asyncio.gather(step, return_exceptions=True)
        await items.aclose()
