"""The errors that were seen, by group, in errors.db: how often, where, and the last one whole."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from steersman.api.signals import ErrorReport, Signal
from steersman.store.errors import StoreError
from steersman.store.lane import Session
from steersman.store.sidefile import Layout, SideFile
from steersman.telemetry.errorform import Object, Seen, as_object, written
from steersman.telemetry.hub import Hub

log = structlog.get_logger(__name__)

FILE = "errors.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS groups (
    id    TEXT    PRIMARY KEY,
    app   TEXT    NOT NULL,
    kind  TEXT    NOT NULL,
    first REAL    NOT NULL,
    last  REAL    NOT NULL,
    count INTEGER NOT NULL,
    body  BLOB    NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS groups_by_time ON groups (last);
CREATE TABLE IF NOT EXISTS places (
    id      TEXT    NOT NULL,
    host    TEXT    NOT NULL,
    release INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    last    REAL    NOT NULL,
    PRIMARY KEY (id, host, release)
) STRICT, WITHOUT ROWID;
"""
_MARK = 0x53544531  # "STE1"
_ID = 12
"""Digits of a fingerprint that name a group."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: groups of one app and of all, for how long, and what a report may take."""

    groups: int = 2_000
    groups_of_app: int = 300
    age: float = 30 * 24 * 3600.0
    places: int = 50
    report: int = 48 * 1024
    waiting: int = 500
    size: int = 256 * 1024 * 1024


class ErrorBook(Protocol):
    """Whoever can say which errors were seen: a daemon, or the file that one left."""

    async def errors(self, app: str | None = None, name: str | None = None) -> list[Object]:
        """Return errors (of one app, or of that name) as objects, those seen last at the end."""
        ...


@dataclass(slots=True)
class _Pending:
    """Reports of one group that are still to be written."""

    report: ErrorReport
    first: float
    count: int = 0
    places: Counter[tuple[str, int]] = field(default_factory=Counter)


class ErrorLog:
    """A sink that keeps errors. It never waits: a task of its own writes what has gathered."""

    def __init__(
        self, path: Path, bounds: Bounds | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._bounds = bounds if bounds is not None else Bounds()
        self._path = path
        self._file = SideFile(path, Layout(_MARK, _SCHEMA, self._bounds.size))
        self._clock = clock
        self._pending: dict[str, _Pending] = {}
        self._news = asyncio.Event()
        self.dropped = 0
        """How many reports were not kept."""

    @asynccontextmanager
    async def keeping(self, hub: Hub) -> AsyncIterator[None]:
        """Keep every error that is published while the body runs."""
        with hub.joined(self.take, ErrorReport):
            task = asyncio.create_task(self._keep_writing(), name="errors.db")
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.write()
        await self.close()

    async def close(self) -> None:
        await self._file.close()

    def take(self, signal: Signal) -> None:
        """Take an error to be written soon; other signals are no concern of ours."""
        if not isinstance(signal, ErrorReport):
            return
        known = self._pending.get(signal.fingerprint)
        if known is None:
            if len(self._pending) >= self._bounds.waiting:
                self.dropped += 1
                if self.dropped.bit_count() == 1:
                    log.warning("errors_not_kept", why="too many at once", dropped=self.dropped)
                return
            known = self._pending[signal.fingerprint] = _Pending(signal, signal.time)
        known.report = signal
        known.count += 1
        known.places[signal.origin.host, signal.origin.release] += 1
        self._news.set()

    async def write(self) -> None:
        """Write what has gathered; what cannot be written is lost, and said."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            await self._file.write(lambda session: self._write(session, pending))
        except StoreError as error:
            self.dropped += sum(each.count for each in pending.values())
            log.error("errors_not_kept", why=str(error), dropped=self.dropped)

    async def errors(self, app: str | None = None, name: str | None = None) -> list[Object]:
        """Return errors as objects, those seen last at the end; raises StoreError."""
        if not self._path.exists():
            return []
        return await self._file.read(lambda session: self._read(session, app, name))

    async def _keep_writing(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self.write()

    def _write(self, session: Session, pending: Mapping[str, _Pending]) -> None:
        for fingerprint, each in pending.items():
            self._write_group(session, fingerprint[:_ID], each)
        for app in {each.report.origin.app for each in pending.values()}:
            self._forget_most(session, app, self._bounds.groups_of_app)
        self._forget_most(session, None, self._bounds.groups)
        session.run("DELETE FROM groups WHERE last < ?", self._clock() - self._bounds.age)
        session.run("DELETE FROM places WHERE id NOT IN (SELECT id FROM groups)")

    def _write_group(self, session: Session, id_: str, each: _Pending) -> None:
        report = each.report
        session.run(
            "INSERT INTO groups VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " kind = excluded.kind, last = excluded.last, count = count + excluded.count,"
            " body = excluded.body",
            *(id_, report.origin.app, report.kind, each.first, report.time, each.count),
            written(report, self._bounds.report),
        )
        for (host, release), count in each.places.items():
            session.run(
                "INSERT INTO places VALUES (?, ?, ?, ?, ?) ON CONFLICT (id, host, release) DO"
                " UPDATE SET count = count + excluded.count, last = excluded.last",
                *(id_, host, release, count, report.time),
            )
        session.run(
            "DELETE FROM places WHERE id = ?1 AND (host, release) NOT IN (SELECT host, release"
            " FROM places WHERE id = ?1 ORDER BY last DESC LIMIT ?2)",
            *(id_, self._bounds.places),
        )

    def _forget_most(self, session: Session, app: str | None, most: int) -> None:
        session.run(
            "DELETE FROM groups WHERE id IN (SELECT id FROM groups WHERE ?1 IS NULL OR app = ?1"
            " ORDER BY last DESC LIMIT -1 OFFSET ?2)",
            *(app, most),
        )

    def _read(self, session: Session, app: str | None, name: str | None) -> list[Object]:
        rows = session.rows(
            "SELECT id, first, last, count, body FROM groups WHERE (?1 IS NULL OR app = ?1)"
            " AND (?2 IS NULL OR id = ?2) ORDER BY last",
            *(app, name),
        )
        return [self._object(session, *row) for row in rows]

    def _object(
        self, session: Session, id_: Any, first: Any, last: Any, count: Any, body: Any
    ) -> Object:
        places = session.rows(
            "SELECT host, release, sum(count) FROM places WHERE id = ? GROUP BY host, release"
            " ORDER BY host, release",
            id_,
        )
        hosts: Counter[str] = Counter()
        releases: Counter[str] = Counter()
        for host, release, often in places:
            hosts[str(host)] += int(str(often))
            releases[str(release)] += int(str(often))
        seen = Seen(id_, first, last, count, _known(hosts), _known(releases))
        return as_object(body, seen)


def _known(counts: Mapping[str, int]) -> dict[str, int]:
    return {key: count for key, count in counts.items() if key not in ("", "0")}
