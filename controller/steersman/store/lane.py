"""Calls into one SQLite connection, one after the other on a thread of its own.

This and database.py are the only modules that know apsw.

What has queued up when the thread is free shares one transaction, so that many writers wait for
one fsync together. Each is as if alone: its failure undoes its own work only.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

import apsw

from steersman.store.tables import Logged

T = TypeVar("T")
Value = str | int | float | bytes | None

_MOST = 256
"""Calls in one transaction: those that come later should not wait for more."""


class Undo(Exception):
    """Raised by a call to have its work undone, and `result` returned all the same."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class Session:
    """SQL inside one transaction, on the connection's thread.

    `log` gathers the changes of objects; what is undone disappears from it.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.log: list[Logged] = []

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

    def run_each(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run a statement for each row of values."""
        self._connection.executemany(sql, rows)

    def script(self, sql: str) -> None:
        """Run several statements that take no values."""
        self._connection.execute(sql)


@dataclass
class _Call(Generic[T]):
    work: Callable[[Session], T]
    future: asyncio.Future[T]
    result: T | None = None
    error: BaseException | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(cast(T, self.result))


class Lane:
    """One connection's queue of calls.

    `open_`, `translate` and `after` run on its thread. `after` sees what a transaction has logged
    and may return something to do on the loop, right after the callers have been told.
    """

    def __init__(
        self,
        begin: Literal["BEGIN", "BEGIN IMMEDIATE"],
        open_: Callable[[], apsw.Connection],
        translate: Callable[[apsw.Error], Exception],
        after: Callable[[Session], Callable[[], None] | None] = lambda session: None,
    ) -> None:
        self._begin = begin
        self._open = open_
        self._translate = translate
        self._after = after
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: apsw.Connection | None = None
        self._lock = threading.Lock()
        self._waiting: deque[_Call[Any]] = deque()
        self._is_draining = False

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for this lane now."""
        return self._is_draining

    async def run(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a transaction; when this returns, the transaction has been committed."""
        loop = asyncio.get_running_loop()
        call = _Call(work, loop.create_future())
        with self._lock:
            self._waiting.append(call)
            is_first, self._is_draining = not self._is_draining, True
        if is_first:
            self._thread.submit(self._drain, loop)
        result: T = await call.future
        return result

    async def bare(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` between transactions."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: self._guarded(work))

    async def close(self) -> None:
        """Close the connection after the calls already queued; closing twice is harmless."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._close, loop)
        self._thread.shutdown(wait=False)

    def _guarded(self, work: Callable[[apsw.Connection], T]) -> T:
        try:
            return work(self._opened())
        except apsw.Error as error:
            raise self._translate(error) from error

    def _opened(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._drain_some(loop):
            pass
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._drain_some(loop):
            # Not at once: what is to run between transactions must have its turn.
            self._thread.submit(self._drain, loop)

    def _drain_some(self, loop: asyncio.AbstractEventLoop) -> bool:
        calls = self._next()
        if calls:
            tell = self._run(calls)
            loop.call_soon_threadsafe(_settle, calls, tell)
        return bool(calls)

    def _next(self) -> Sequence[_Call[Any]]:
        with self._lock:
            taken = min(len(self._waiting), _MOST)
            calls = [self._waiting.popleft() for _ in range(taken)]
            self._is_draining = bool(calls)
        return calls

    def _run(self, calls: Sequence[_Call[Any]]) -> Callable[[], None] | None:
        """Run calls together; when one of them spoils that for all, one by one."""
        try:
            session = self._transact(calls)
            return self._after(session)
        except Exception as error:
            if len(calls) > 1 and not isinstance(error, apsw.BusyError):
                return _all([self._run([call]) for call in calls])
            for call in calls:
                call.error = self._ours(error)
            return None

    def _transact(self, calls: Sequence[_Call[Any]]) -> Session:
        connection = self._opened()
        session = Session(connection)
        connection.execute(self._begin)
        try:
            for call in calls:
                if not call.future.cancelled():
                    self._one(call, session, connection)
            connection.execute("COMMIT")
        except BaseException:
            # SQLite has already rolled back by itself after some errors, such as a full disk.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return session

    def _one(self, call: _Call[Any], session: Session, connection: apsw.Connection) -> None:
        logged = len(session.log)
        call.error = None
        connection.execute("SAVEPOINT one")
        try:
            call.result = call.work(session)
        except Undo as undo:
            call.result = undo.result
        except Exception as error:
            if not connection.in_transaction:
                raise
            call.error = self._ours(error)
        else:
            connection.execute("RELEASE one")
            return
        del session.log[logged:]
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")

    def _ours(self, error: Exception) -> Exception:
        if not isinstance(error, apsw.Error):
            return error
        ours = self._translate(error)
        ours.__cause__ = error
        return ours


def _all(tells: Sequence[Callable[[], None] | None]) -> Callable[[], None]:
    def tell_all() -> None:
        for tell in tells:
            if tell is not None:
                tell()

    return tell_all


def _settle(calls: Sequence[_Call[Any]], tell: Callable[[], None] | None) -> None:
    for call in calls:
        call.settle()
    if tell is not None:
        tell()
