"""A SQLite file beside the state: what it holds may be lost, so a damaged one is put aside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import apsw
import structlog

from steersman.store.database import connected, translated
from steersman.store.errors import StoreDamaged, StoreError
from steersman.store.lane import Lane, Session

T = TypeVar("T")
log = structlog.get_logger(__name__)

_BUSY_MS = 10_000
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # A power cut may take the last seconds; it damages nothing.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA journal_size_limit = 8388608",
)
_PARTS = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Layout:
    """What is in a file: `mark` tells it from all others and changes with `schema`.

    `most` bounds its size in bytes: beyond, writing raises StoreFull.
    """

    mark: int
    schema: str
    most: int


class SideFile:
    """One connection that writes and one that reads, each on a thread of its own.

    A file that is damaged, or of another program or version, is renamed to NAME.damaged and a
    new one begun; the log says so. One that was put aside before goes then.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self._layout = layout
        self._lanes: tuple[Lane, Lane] | None = None
        self._opening = asyncio.Lock()

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a transaction; raises StoreError. What damage ends is tried once more."""
        try:
            return await (await self._opened())[0].run(work)
        except StoreDamaged as error:
            await self._put_aside(error)
        return await (await self._opened())[0].run(work)

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` on one consistent view of the file; raises StoreError."""
        try:
            return await (await self._opened())[1].run(work)
        except StoreDamaged as error:
            await self._put_aside(error)
        return await (await self._opened())[1].run(work)

    async def close(self) -> None:
        """Close the file after the calls already queued; closing twice is harmless."""
        lanes, self._lanes = self._lanes, None
        for lane in reversed(lanes or ()):
            await lane.close()

    async def _opened(self) -> tuple[Lane, Lane]:
        async with self._opening:
            if self._lanes is None:
                try:
                    self._lanes = await self._open()
                except StoreDamaged as error:
                    self._rename(error)
                    self._lanes = await self._open()
            return self._lanes

    async def _open(self) -> tuple[Lane, Lane]:
        writer = Lane("BEGIN IMMEDIATE", self._connect, self._translated)
        try:
            await writer.bare(lambda connection: None)
        except BaseException:
            await writer.close()
            raise
        return writer, Lane("BEGIN", self._connect_reader, self._translated)

    async def _put_aside(self, error: StoreDamaged) -> None:
        async with self._opening:
            await self.close()
            self._rename(error)

    def _rename(self, error: StoreDamaged) -> None:
        for part in _PARTS:
            found = self.path.with_name(self.path.name + part)
            if found.exists():
                found.replace(found.with_name(f"{self.path.name}.damaged{part}"))
        log.error(
            "file_put_aside",
            file=str(self.path),
            kept_as=f"{self.path.name}.damaged",
            why=str(error),
            lost="what it held; a new file is begun",
        )

    def _translated(self, error: apsw.Error) -> StoreError:
        return translated(self.path, error)

    def _connect(self) -> apsw.Connection:
        return connected(self.path, self._make_ready)

    def _make_ready(self, connection: apsw.Connection) -> None:
        connection.set_busy_timeout(_BUSY_MS)
        is_new = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
        if not is_new and connection.pragma("application_id") != self._layout.mark:
            raise StoreDamaged(self.path, "it is of another program or version", "none is needed")
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        size = int(str(connection.pragma("page_size")))
        connection.pragma("max_page_count", max(self._layout.most // size, 16))
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            connection.execute(self._layout.schema)
            connection.execute(f"PRAGMA application_id = {self._layout.mark}")
        connection.execute("COMMIT")

    def _connect_reader(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(_BUSY_MS)
        return connection


def used_bytes(session: Session) -> int:
    """Return how many bytes of the file hold something."""
    asked = ("page_count", "freelist_count", "page_size")
    rows = [session.row(f"PRAGMA {each}") for each in asked]
    pages, free, size = (int(str(row[0])) if row is not None else 0 for row in rows)
    return (pages - free) * size
