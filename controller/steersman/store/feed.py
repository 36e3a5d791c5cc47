"""The changes of a store as they come, for all who watch it in this process.

There is one list of changes, and every watcher is a place in it. So a watcher costs a writer
nothing, and a slow one holds on to nothing: what it missed is read from the store's log, once for
all who are behind, or it hears that this is not kept any more.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from weakref import WeakSet

from steersman.store.tables import Logged

_RECENT = 1024
"""Changes that are kept at hand."""
_OLDER = 2048
"""Changes that are kept for others once they were read from the log."""
_CHUNK = 256
"""Changes that are read from the log at once."""
_AT_ONCE = 8
"""Watchers that are woken before the others on the loop have their turn."""
_SHARE = 0.05
"""Of the time, what watchers get while somebody writes."""


class Source(Protocol):
    """The store behind a feed."""

    @property
    def is_writing(self) -> bool:
        """Whether somebody waits for a write at this moment."""
        ...

    async def start(self) -> None:
        """Call `Feed.begin`, and from then on `Feed.publish`, while the feed is watched."""
        ...

    async def changes_after(self, since: int, limit: int) -> Sequence[Logged]:
        """Read the log; raises Compacted."""
        ...


class Feed:
    """The recent changes of one store in one process."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.newest = -1
        self.is_closed = False
        self._recent: dict[int, Logged] = {}
        self._older: dict[int, Logged] = {}
        self._watchers: WeakSet[object] = WeakSet()
        self._waiting: set[asyncio.Future[None]] = set()
        self._starting = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._round = _Round(self._waiting, source)

    @property
    def is_watched(self) -> bool:
        return len(self._watchers) > 0

    @property
    def is_running(self) -> bool:
        return self.newest >= 0

    def join(self, watcher: object) -> None:
        """Run for as long as `watcher` exists."""
        self._watchers.add(watcher)

    def leave(self, watcher: object) -> None:
        self._watchers.discard(watcher)

    async def start(self) -> None:
        """Let the source publish, unless it does."""
        async with self._starting:
            if not self.is_running and not self.is_closed:
                await self.source.start()

    async def rest(self, stop: Callable[[], Awaitable[None]]) -> bool:
        """Let the source stop, if nobody watches any more; return whether it did."""
        async with self._starting:
            if self.is_watched:
                return False
            await stop()
            self.stop()
            return True

    def begin(self, newest: int) -> None:
        """Be told what the newest revision is; the next changes will be published."""
        self.newest = newest

    def publish(self, changes: Sequence[Logged], newest: int) -> None:
        """Be told of changes, in order. Where some are left out, watchers read them in the log."""
        self._recent.update({each.change.revision: each for each in changes})
        self.newest = max(newest, self.newest)
        _trim(self._recent, _RECENT)
        self._round.begin()

    def after(self, revision: int) -> Logged | None:
        """Return the change that follows a revision, None if it is not at hand."""
        return self._recent.get(revision + 1) or self._older.get(revision + 1)

    async def read(self, since: int) -> None:
        """Have the changes after a revision at hand, if there are any; raises Compacted."""
        async with self._reading:
            # Whoever read before may have been looking for the same.
            if self.after(since) is None and not self.is_closed:
                found = await self.source.changes_after(since, _CHUNK)
                self._older.update({each.change.revision: each for each in found})
                _trim(self._older, _OLDER)

    def stop(self, error: Exception | None = None) -> None:
        """Forget everything; who waits hears of the error, or looks again."""
        self.newest = -1
        self._recent.clear()
        self._older.clear()
        for future in self._waiting:
            if not future.done() and error is not None:
                future.set_exception(error)
            elif not future.done():
                future.set_result(None)

    def close(self) -> None:
        """End every watch."""
        self.is_closed = True
        self.stop()

    async def wait(self, future: asyncio.Future[None]) -> None:
        """Wait until there is a change, or until somebody else sets `future`."""
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    async def take_turns(self, future: asyncio.Future[None]) -> None:
        """Let the others go first, who write or watch."""
        self._round.join(future)
        await future


def _trim(changes: dict[int, Logged], most: int) -> None:
    while len(changes) > most:
        del changes[next(iter(changes))]


class _Round:
    """Waking those who wait: a few at a time, and slowly while somebody writes.

    A thousand watchers are milliseconds of work. Whoever writes meanwhile should not feel that.
    """

    def __init__(self, waiting: set[asyncio.Future[None]], source: Source) -> None:
        self._waiting = waiting
        self._source = source
        self._due: deque[asyncio.Future[None]] = deque()
        self._is_on = False
        self._is_news = False
        self._used: float | None = None
        self._rest_until = 0.0

    def begin(self) -> None:
        """Wake all who wait for a change."""
        self._is_news = True
        self._start()

    def join(self, future: asyncio.Future[None]) -> None:
        """Wake one when those before it were."""
        self._due.append(future)
        self._start()

    def _start(self) -> None:
        if not self._is_on:
            self._is_on = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        loop, used = asyncio.get_running_loop(), time.thread_time()
        if self._used is not None:
            self._rest_until = loop.time() + (used - self._used) / _SHARE
            self._used = None
        if self._is_news:
            self._due.extend(self._waiting)
            self._waiting.clear()
            self._is_news = False
        if not self._due:
            self._is_on = False
        elif self._source.is_writing and loop.time() < self._rest_until:
            loop.call_at(self._rest_until, self._go_on)
        else:
            self._wake_some()
            # Behind those that were woken, so that what they take is known.
            self._used = used
            loop.call_soon(self._go_on)

    def _wake_some(self) -> None:
        for _ in range(min(_AT_ONCE, len(self._due))):
            future = self._due.popleft()
            if not future.done():
                future.set_result(None)
