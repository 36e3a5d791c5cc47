"""The changes of a store as they come, for all who watch it in this process.

There is one list of recent changes, and every watcher is a place in it. So a watcher costs a
writer nothing, and a slow one holds on to nothing: it reads what it missed from the store's log,
or hears that this is not kept any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from weakref import WeakSet

from steersman.store.tables import Logged

_RECENT = 1024
"""Changes that are kept at hand."""
_AT_ONCE = 8
"""Watchers that are woken before the others on the loop have their turn."""
_PATIENCE = 0.05
"""Seconds for which watchers let writers go first."""
_SHARE = 0.05
"""Of the loop's time, what waking may take when changes never end."""
_LONGEST_REST = 0.25


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
        self._watchers: WeakSet[object] = WeakSet()
        self._waiting: set[asyncio.Future[None]] = set()
        self._starting = asyncio.Lock()
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
        for each in changes:
            revision = each.change.revision
            if revision != self.newest + 1:
                self._recent.clear()
            self._recent[revision] = each
            self.newest = revision
        if newest > self.newest:
            self._recent.clear()
            self.newest = newest
        while len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]
        self._round.begin()

    def after(self, revision: int) -> Logged | None:
        """Return the change that follows a revision, None if it is not at hand."""
        return self._recent.get(revision + 1)

    def stop(self, error: Exception | None = None) -> None:
        """Forget everything; who waits hears of the error, or looks again."""
        self.newest = -1
        self._recent.clear()
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


class _Round:
    """Waking all who wait: a few at a time, after the writers, and not all the time.

    A thousand watchers are milliseconds of work. Whoever writes meanwhile should not feel that.
    """

    def __init__(self, waiting: set[asyncio.Future[None]], source: Source) -> None:
        self._waiting = waiting
        self._source = source
        self._due: list[asyncio.Future[None]] = []
        self._is_on = False
        self._is_due_again = False
        self._deadline = 0.0
        self._rest_until = 0.0
        self._spent = 0.0
        self._last: float | None = None

    def begin(self) -> None:
        """Wake all who wait now, as soon as it is their turn."""
        if self._is_on:
            self._is_due_again = True
        elif self._waiting:
            loop = asyncio.get_running_loop()
            self._is_on = True
            self._spent, self._last = 0.0, None
            self._deadline = max(loop.time(), self._rest_until) + _PATIENCE
            loop.call_at(self._rest_until, self._gather)

    def _gather(self) -> None:
        self._is_due_again = False
        self._due = list(self._waiting)
        self._wake()

    def _wake(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._last is not None:
            self._spent += now - self._last
        if self._source.is_writing and now < self._deadline:
            self._last = None
            loop.call_later(0.001, self._wake)
            return
        for future in self._due[-_AT_ONCE:]:
            if not future.done():
                future.set_result(None)
        del self._due[-_AT_ONCE:]
        if self._due:
            self._last = now
            loop.call_soon(self._wake)
        else:
            self._end(now)

    def _end(self, now: float) -> None:
        self._is_on = False
        self._rest_until = now + min(self._spent / _SHARE, _LONGEST_REST)
        if self._is_due_again:
            self.begin()
