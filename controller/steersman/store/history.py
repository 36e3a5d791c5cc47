"""The changes of a SQLite file: told to a feed as they are committed, by whatever process."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import apsw

from steersman.store import versions
from steersman.store.database import Database
from steersman.store.feed import Feed
from steersman.store.lane import Session
from steersman.store.tables import Logged
from steersman.store.touches import Touches

_LOOK, _REST = 0.05, 1.0
"""Seconds between two looks whether another process has committed: while somebody writes, and
while nobody does, where the system tells when that is over."""


class History:
    """A database whose changes go to `feed` for as long as somebody watches."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path, self._committed)
        self.feed = Feed(self)
        self._wal_path = path.with_name(f"{path.name}-wal")
        self._wal = _Glance(self._wal_path)
        self._touches: Touches | None = None
        self._is_touched = False
        self._is_over = True
        self._timer: asyncio.TimerHandle | None = None
        self._closer_look: asyncio.Task[None] | None = None
        # These two belong to the writer's thread; nobody is told while `_told` is None.
        self._told: int | None = None
        self._others = 0

    @property
    def is_writing(self) -> bool:
        return self.database.is_writing

    @property
    def is_following(self) -> bool:
        """Whether the file is looked at now and then."""
        return self._timer is not None or self._closer_look is not None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        await self.database.bare(partial(self._start, loop))
        if not self.feed.is_closed:
            self._end_touches()
            with suppress(OSError):
                self._touches = Touches(self._wal_path)
            self._is_over = False
            self._timer = loop.call_later(_LOOK, self._glance)

    async def changes_after(self, since: int, limit: int) -> Sequence[Logged]:
        return await self.database.read(lambda s: versions.changes_after(s, since, limit))

    async def close(self) -> None:
        self.feed.close()
        self._end_touches()
        if self._timer is not None:
            self._timer.cancel()
        if self._closer_look is not None:
            self._closer_look.cancel()
            await asyncio.wait([self._closer_look])
        await self.database.close()

    def _glance(self) -> None:
        """See whether it is worth while to ask the database; most of the time it is not."""
        loop = asyncio.get_running_loop()
        self._timer = None
        if self._touches is not None:
            self._touches.forget()
            self._is_touched = False
            loop.add_reader(self._touches, self._touched)
        is_changed = self._wal.is_changed()
        if self.feed.is_watched and not is_changed and self._is_over:
            self._timer = loop.call_later(self._pause(), self._glance)
        else:
            # A commit is seen only when what was written is safe: once more when all is quiet.
            self._is_over = not is_changed
            self._closer_look = loop.create_task(self._look_closer())

    def _touched(self) -> None:
        """Glance soon, and hear no more until then: many writes are worth one look."""
        loop = asyncio.get_running_loop()
        if self._touches is not None:
            loop.remove_reader(self._touches)
        self._is_touched, self._is_over = True, False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = loop.call_later(_LOOK, self._glance)

    def _pause(self) -> float:
        is_quiet = self._wal.is_sure and not self._is_touched
        return _REST if self._touches is not None and is_quiet else _LOOK

    def _end_touches(self) -> None:
        touches, self._touches = self._touches, None
        if touches is not None:
            asyncio.get_running_loop().remove_reader(touches)
            touches.close()

    async def _look_closer(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            if not await self.feed.rest(self._stop):
                await self.database.bare(partial(self._look, loop))
                self._timer = loop.call_later(self._pause(), self._glance)
        except Exception as error:
            # Whoever watches must hear why nothing comes any more.
            self.feed.stop(error)
        self._closer_look = None

    async def _stop(self) -> None:
        self._end_touches()
        await self.database.bare(self._forget)

    def _start(self, loop: asyncio.AbstractEventLoop, connection: apsw.Connection) -> None:
        self._told = versions.revision_of(Session(connection))
        self._others = _others(connection)
        # From here and not from the caller: what is committed next must be told after this.
        loop.call_soon_threadsafe(self.feed.begin, self._told)

    def _look(self, loop: asyncio.AbstractEventLoop, connection: apsw.Connection) -> None:
        others = _others(connection)
        if self._told is not None and others != self._others:
            self._others = others
            # What it is, those who watch find in the log.
            self._told = versions.revision_of(Session(connection))
            loop.call_soon_threadsafe(self.feed.publish, (), self._told)

    def _forget(self, _: apsw.Connection) -> None:
        self._told = None

    def _committed(self, session: Session) -> Callable[[], None] | None:
        if self._told is None or not session.log:
            return None
        self._told = session.log[-1].change.revision
        return partial(self.feed.publish, session.log, self._told)


def _others(connection: apsw.Connection) -> int:
    """Return a number that changes whenever another connection has committed (sqlite.org)."""
    return int(str(connection.pragma("data_version")))


class _Glance:
    """Tells cheaply whether a file may have been written to since the last glance at it."""

    # Times of files stand still for some milliseconds: two writes may have the same.
    _UNSURE_NS = 50_000_000

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self.is_sure = False

    def is_changed(self) -> bool:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return True
        was_sure, before = self.is_sure, self._seen
        self._seen = found.st_mtime_ns, found.st_size, found.st_ino
        self.is_sure = abs(time.time_ns() - found.st_mtime_ns) > self._UNSURE_NS
        return not was_sure or self._seen != before
