"""One who watches: a place in the history of a store, and what of it is of interest."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Self

from steersman.store.feed import Feed
from steersman.store.plain import text_of
from steersman.store.protocol import Change, Query
from steersman.store.tables import Logged

_TURN = 8
"""Changes that a watcher looks at before the others have their turn."""


class Watcher:
    """The changes after a revision, as an async iterator: what `watch` returns."""

    def __init__(self, feed: Feed, since: int, query: Query, idle: float) -> None:
        self._feed = feed
        self._at = since
        self._query = query
        self._idle = idle
        self._is_closed = False
        # Only the log can say whether it goes back as far as `since`.
        self._is_known = False
        self._left = _TURN
        self._quiet_since: float | None = None
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._future: asyncio.Future[None] | None = None
        feed.join(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not (self._is_closed or self._feed.is_closed):
            if self._left == 0:
                await self._wait(self._feed.take_turns)
            elif (logged := self._feed.after(self._at)) is not None:
                self._at = logged.change.revision
                self._left -= 1
                shown = seen_through(self._query, logged)
                if shown is not None:
                    self._quiet_since = None
                    return shown
            elif self._is_known and self._feed.is_running and self._at >= self._feed.newest:
                await self._wait(self._feed.wait)
            else:
                await self._feed.start()
                await self._feed.read(self._at)
                self._is_known = True
                self._left -= 1
            if self._is_due:
                self._is_due, self._quiet_since = False, None
                return Change("BOOKMARK", self._at)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the iteration, also of a task that waits in it."""
        self._is_closed = True
        self._feed.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def _wait(self, how: Callable[[asyncio.Future[None]], Awaitable[None]]) -> None:
        """Wait for a change, for a turn, or until it was quiet for so long that this is news."""
        loop = asyncio.get_running_loop()
        if self._quiet_since is None:
            self._quiet_since = loop.time()
        if self._timer is None:
            self._timer = loop.call_at(self._quiet_since + self._idle, self._ring)
        self._future = loop.create_future()
        try:
            await how(self._future)
        finally:
            self._future = None
        self._left = _TURN

    def _ring(self) -> None:
        """Say that it has been quiet; one timer serves many changes, for setting one costs."""
        self._timer = None
        if self._future is None or self._future.done() or self._quiet_since is None:
            return
        loop = asyncio.get_running_loop()
        due = self._quiet_since + self._idle
        if loop.time() < due:
            self._timer = loop.call_at(due, self._ring)
        else:
            self._is_due = True
            self._future.set_result(None)


def seen_through(query: Query, logged: Logged) -> Change | None:
    """Return a change as somebody sees it who looks only at what matches, None if not at all."""
    change = logged.change
    if query.kinds is not None and change.kind not in query.kinds:
        return None
    if not (query.labels.terms or query.fields.terms):
        return change
    was = logged.object_before is not None and query.matches(logged.object_before)
    if change.type == "DELETED":
        return change if was else None
    if query.matches(logged.object_after):
        return replace(change, type="MODIFIED" if was else "ADDED")
    return _gone_from_sight(logged) if was else None


def _gone_from_sight(logged: Logged) -> Change:
    """Return the deletion, for those who looked, of an object that does not match any more."""
    last = logged.object_before or {}
    seen = {**last, "metadata": {**last["metadata"], "resourceVersion": logged.change.revision}}
    return replace(logged.change, type="DELETED", body=text_of(seen))
