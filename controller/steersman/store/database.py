"""SQLite on one thread of its own: the only module that knows apsw."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import apsw

from steersman.store.errors import StoreBusy, StoreDamaged, StoreError, StoreFull, StoreTooNew
from steersman.store.migrations import APPLICATION_ID, MIGRATIONS
from steersman.store.paths import prepared

T = TypeVar("T")
Value = str | int | float | bytes | None

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


class Session:
    """SQL inside one transaction, on the database's thread."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, *values: Value) -> list[tuple[Value, ...]]:
        """Return every row of a statement."""
        return list(self._connection.execute(sql, values))

    def row(self, sql: str, *values: Value) -> tuple[Value, ...] | None:
        """Return the first row of a statement, None if there is none."""
        found = self.rows(sql, *values)
        return found[0] if found else None

    def run(self, sql: str, *values: Value) -> int:
        """Run a statement and return how many rows it changed."""
        before = self._connection.total_changes()
        self._connection.execute(sql, values)
        return self._connection.total_changes() - before

    def script(self, sql: str) -> None:
        """Run several statements that take no values."""
        self._connection.execute(sql)


class Database:
    """One connection on one thread, so that calls queue up and the loop never waits on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: apsw.Connection | None = None

    async def open(self) -> Self:
        """Open, check and migrate the file; raises a StoreError that says what is wrong."""
        try:
            await self._call(self._open)
        except BaseException:
            await self.close()
            raise
        return self

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` on one consistent view of the file."""
        return await self._call(lambda: self._transact("BEGIN", work))

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` alone; when this returns, what it wrote survives a power cut."""
        return await self._call(lambda: self._transact("BEGIN IMMEDIATE", work))

    async def close(self) -> None:
        """Close the file after the calls already queued; closing twice is harmless."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except apsw.Error as error:
            raise translated(self.path, error) from error

    def _open(self) -> None:
        with prepared(self.path):
            connection = apsw.Connection(str(self.path))
            self._connection = connection
            connection.set_busy_timeout(_BUSY_MS)
            _check_ours(self.path, connection)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            verdict = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
            if verdict != ["ok"]:
                raise StoreDamaged(self.path, f"it is damaged ({'; '.join(verdict)})", _RESTORE)
            if _version(connection) < len(MIGRATIONS):
                self._transact("BEGIN IMMEDIATE", lambda session: migrate(session, self.path))

    def _transact(self, begin: str, work: Callable[[Session], T]) -> T:
        connection = self._connection
        if connection is None:
            raise StoreError(self.path, "it is closed", "open the store before using it")
        connection.execute(begin)
        try:
            result = work(Session(connection))
            connection.execute("COMMIT")
        except BaseException:
            # SQLite has already rolled back by itself after some errors, such as a full disk.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


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
