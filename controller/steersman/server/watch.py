"""Watching a kind: every change after a revision, a JSON object a line, with bookmarks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
from starlette.responses import Response, StreamingResponse

from steersman.api.errors import SteersmanError
from steersman.server.ask import Ask
from steersman.server.objects import query_of
from steersman.server.status import status_of
from steersman.server.streams import NDJSON
from steersman.store.errors import Compacted
from steersman.store.protocol import Change, Query, Watch

IDLE = 15.0
# So long a watch is waited for before its answer begins: whether it is too old is known by then.
FIRST = 0.05
LONGEST = 24 * 3600


async def watch(ask: Ask) -> Response:
    """Follow a kind from `resourceVersion`; with none, from what there is now, which is ADDED.

    A revision that is no longer known is answered by 410, or by an ERROR line once it began.
    """
    since = ask.number("resourceVersion")
    query = query_of(ask)
    limit = ask.number("timeoutSeconds", most=LONGEST) or LONGEST
    idle = (ask.number("idleMilliseconds", most=3600_000) or IDLE * 1000) / 1000
    first: list[Change] = []
    if since is None:
        page = await ask.parts.store.page(query)
        since = page.revision
        first = [
            Change("ADDED", each.resource_version, each.kind, each.name, orjson.dumps(each.object))
            for each in page.items
        ]
    changes = ask.parts.store.watch(since, query, idle=idle)
    step = asyncio.ensure_future(anext(changes))
    await asyncio.wait({step}, timeout=FIRST)
    if step.done() and isinstance(step.exception(), Compacted):
        raise step.exception() or Compacted(since, since, since)
    lines = _lines(ask, query, first, changes, step, limit)
    return StreamingResponse(lines, media_type=NDJSON, headers={"Cache-Control": "no-store"})


async def _lines(
    ask: Ask,
    query: Query,
    first: list[Change],
    changes: Watch,
    step: asyncio.Future[Change],
    limit: int,
) -> AsyncIterator[bytes]:
    for change in first:
        if (line := _line(ask, change)) is not None:
            yield line
    async with contextlib.aclosing(_until(ask, changes, step, limit)) as followed:
        try:
            async for change in followed:
                if (line := _line(ask, change)) is not None:
                    yield line
        except SteersmanError as error:
            yield orjson.dumps({"type": "ERROR", "object": status_of(error)}) + b"\n"


async def _until(
    ask: Ask, changes: Watch, step: asyncio.Future[Change], limit: int
) -> AsyncGenerator[Change]:
    """Yield changes until the time is over, or the daemon stops."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit
    stop = asyncio.ensure_future(ask.parts.stopping.wait())
    try:
        while True:
            left = max(0.0, deadline - loop.time())
            waiting: set[asyncio.Future[Any]] = {step, stop}
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                return
            with contextlib.suppress(StopAsyncIteration):
                yield step.result()
                step = asyncio.ensure_future(anext(changes))
                continue
            return
    finally:
        stop.cancel()
        step.cancel()
        await asyncio.gather(step, return_exceptions=True)
        await changes.aclose()


def _line(ask: Ask, change: Change) -> bytes | None:
    """Return a change as it goes out; None for an object that the subject may not get."""
    if change.type == "BOOKMARK":
        metadata = {"resourceVersion": change.revision}
        mark = {"apiVersion": "steersman/v1", "kind": ask.kind, "metadata": metadata}
        return orjson.dumps({"type": "BOOKMARK", "object": mark}) + b"\n"
    # Whoever may get any object of the kind is spared the parsing of each.
    if not ask.may("get", change.kind, {}) and not ask.may("get", change.kind, change.object):
        return None
    return b'{"type":"' + change.type.encode() + b'","object":' + change.body + b"}\n"
