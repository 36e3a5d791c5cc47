"""The SQLite file: opening, checking and migrating it, and what its errors mean."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import apsw

from steersman.store.errors import StoreBusy, StoreDamaged, StoreError, StoreFull, StoreTooNew
from steersman.store.lane import Lane, Session
from steersman.store.migrations import APPLICATION_ID, MIGRATIONS
from steersman.store.paths import prepared

T = TypeVar("T")

_BUSY_MS = 10_000
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA secure_delete = ON",
)
_RESTORE = "restore a copy of it, or move it away and apply your manifests again"
_TRANSLATED: tuple[tuple[type[apsw.Error], type[StoreError], str, str], ...] = (
    (apsw.BusyError, StoreBusy, "another process has locked it", "try again when it is done"),
    (apsw.LockedError, StoreBusy, "it is locked", "try again"),
    (apsw.ProtocolError, StoreBusy, "its lock could not be had", "try again"),
    (apsw.FullError, StoreFull, "the disk is full", "free some space and try again"),
    (apsw.NotADBError, StoreDamaged, "it is not a SQLite database", _RESTORE),
    (apsw.CorruptError, StoreDamaged, "it is damaged", _RESTORE),
    (apsw.FormatError, StoreDamaged, "its format is unknown", _RESTORE),
    (apsw.ReadOnlyError, StoreError, "it cannot be written", "make it and its folder writable"),
    (apsw.CantOpenError, StoreError, "it cannot be opened", "make its folder writable"),
    (apsw.PermissionsError, StoreError, "access is denied", "make it and its folder yours"),
    (apsw.IOError, StoreError, "reading or writing it failed", "look at the disk (dmesg)"),
    (apsw.NoMemError, StoreError, "memory ran out", "free some memory and try again"),
)


class Database:
    """One connection that writes and one that reads, so that the loop never waits on disk."""

    def __init__(
        self,
        path: Path,
        after: Callable[[Session], Callable[[], None] | None] = lambda session: None,
    ) -> None:
        self.path = path
        self._writer = Lane("BEGIN IMMEDIATE", self._open, self._translated, after)
        self._reader = Lane("BEGIN", self._open_reader, self._translated)
        self._is_open = False

    @property
    def is_writing(self) -> bool:
        return self._writer.is_busy

    async def open(self) -> Self:
        """Open, check and migrate the file; raises a StoreError that says what is wrong."""
        try:
            await self._writer.bare(lambda connection: None)
        except BaseException:
            await self._writer.close()
            raise
        self._is_open = True
        return self

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` on one consistent view of the file."""
        self._check_open()
        return await self._reader.run(work)

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` as if alone; when this returns, what it wrote survives a power cut.

        It may run more than once, when what it shared a transaction with failed.
        """
        self._check_open()
        return await self._writer.run(work)

    async def bare(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` on the connection that writes, between its transactions."""
        self._check_open()
        return await self._writer.bare(work)

    async def close(self) -> None:
        """Close the file after the calls already queued; closing twice is harmless."""
        if self._is_open:
            self._is_open = False
            await self._reader.close()
            await self._writer.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreError(self.path, "it is closed", "open the store before using it")

    def _translated(self, error: apsw.Error) -> StoreError:
        return translated(self.path, error)

    def _open(self) -> apsw.Connection:
        return connected(self.path, self._make_ready)

    def _make_ready(self, connection: apsw.Connection) -> None:
        connection.set_busy_timeout(_BUSY_MS)
        _check_ours(self.path, connection)
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        verdict = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
        if verdict != ["ok"]:
            raise StoreDamaged(self.path, f"it is damaged ({'; '.join(verdict)})", _RESTORE)
        if _version(connection) < len(MIGRATIONS):
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                migrate(Session(connection), self.path)
            connection.execute("COMMIT")

    def _open_reader(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(_BUSY_MS)
        return connection


def migrate(session: Session, path: Path, steps: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring the schema up to date, inside the caller's transaction."""
    row = session.row("PRAGMA user_version")
    version = int(str(row[0])) if row is not None else 0
    if version > len(steps):
        raise StoreTooNew(path, version, len(steps))
    for step in steps[version:]:
        session.script(step)
    session.script(f"PRAGMA application_id = {APPLICATION_ID}")
    session.script(f"PRAGMA user_version = {len(steps)}")


def translated(path: Path, error: apsw.Error) -> StoreError:
    """Return our error for apsw's: the kinds a person can do something about, else a bug."""
    for theirs, ours, why, way_out in _TRANSLATED:
        if isinstance(error, theirs):
            return ours(path, f"{why} ({error})", way_out)
    return StoreError(path, f"{type(error).__name__}: {error}", "please report this as a bug")


def _check_ours(path: Path, connection: apsw.Connection) -> None:
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise StoreTooNew(path, version, len(MIGRATIONS))
    mark = connection.pragma("application_id")
    empty = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    if mark != APPLICATION_ID and not empty:
        why = "it is some other program's SQLite database"
        raise StoreDamaged(path, why, "name another folder with --state-dir")


def _version(connection: apsw.Connection) -> int:
    return int(str(connection.pragma("user_version")))


def connected(path: Path, make_ready: Callable[[apsw.Connection], None]) -> apsw.Connection:
    """Return a connection to the file at `path`, made ready or closed again."""
    with prepared(path):
        connection = apsw.Connection(str(path))
        try:
            make_ready(connection)
        except BaseException:
            connection.close()
            raise
    return connection
