"""The embedded store: one SQLite file that several processes may have open."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from steersman.store import events, leases, vault, versions
from steersman.store.happenings import stamp
from steersman.store.history import History
from steersman.store.lane import Session, Undo
from steersman.store.objects import Answer, as_before
from steersman.store.paths import state_dir
from steersman.store.protocol import EVERYTHING, Event, Lease, Page, Query, Stored, Watch
from steersman.store.selectors import Selector
from steersman.store.verbs import Verb, Verbs
from steersman.store.versions import Retention, Versions
from steersman.store.watcher import Watcher


class SqliteStore(Verbs):
    """A `Store` in a file; use it as `async with SqliteStore() as store`.

    The file is `state.db` in `folder`, by default $XDG_STATE_HOME/steersman. Calls may come from
    any task of one loop; writes that queue up are committed together. Every call raises a
    StoreError when the file fails: StoreBusy and StoreFull are worth another try.
    """

    def __init__(
        self,
        folder: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        retention: Retention | None = None,
    ) -> None:
        self.path = (folder if folder is not None else state_dir()) / "state.db"
        self._history = History(self.path)
        self._database = self._history.database
        self._clock = clock
        self._retention = retention if retention is not None else Retention()

    async def open(self) -> Self:
        await self._database.open()
        return self

    async def close(self) -> None:
        await self._history.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def revision(self) -> int:
        return await self._database.read(versions.revision_of)

    async def get(self, kind: str, name: str) -> Stored | None:
        return await self._database.read(lambda session: versions.get(session, kind, name))

    async def list(self, kind: str, selector: Selector | None = None) -> tuple[Stored, ...]:
        return await self._database.read(lambda session: versions.list_(session, kind, selector))

    async def page(
        self, query: Query = EVERYTHING, limit: int | None = None, token: str | None = None
    ) -> Page:
        return await self._database.read(
            lambda session: versions.page(session, query, limit, token)
        )

    def watch(self, since: int, query: Query = EVERYTHING, idle: float = 30.0) -> Watch:
        return Watcher(self._history.feed, since, query, idle)

    async def compact(self, keep: int = 0) -> int:
        return await self._database.write(lambda session: versions.compact(session, keep))

    async def add_event(
        self,
        kind: str,
        name: str,
        type: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        host: str | None = None,
    ) -> Event:
        now = self._clock()
        new = Event(0, kind, name, type, reason, message, host, 1, stamp(now), stamp(now))
        return await self._database.write(
            lambda session: events.add(session, self._table(session, now), new)
        )

    async def events(
        self, kind: str | None = None, name: str | None = None, limit: int = 50
    ) -> tuple[Event, ...]:
        return await self._database.read(lambda session: events.newest(session, kind, name, limit))

    async def next_epoch(self, at_least: int = 1) -> int:
        return await self._database.write(lambda session: vault.next_epoch(session, at_least))

    async def acquire_lease(self, name: str, holder: str, ttl: float = 60.0) -> Lease:
        me = leases.this_process()
        return await self._database.write(
            lambda session: leases.acquire(session, name, holder, ttl, me)
        )

    async def is_leased(self, name: str) -> bool:
        me = leases.this_process()
        held = await self._database.read(lambda session: leases.holder_of(session, name, me))
        return held is not None

    async def renew_lease(self, lease: Lease, ttl: float = 60.0) -> None:
        await self._database.write(lambda session: leases.renew(session, lease, ttl))

    async def release_lease(self, lease: Lease) -> None:
        await self._database.write(lambda session: leases.release(session, lease))

    async def key(self) -> bytes:
        return await self._database.write(vault.key)

    async def put_secret(self, name: str, values: Mapping[str, str]) -> bool:
        return await self._database.write(lambda session: vault.put_secret(session, name, values))

    async def get_secret(self, name: str) -> Mapping[str, str] | None:
        return await self._database.read(lambda session: vault.get_secret(session, name))

    async def _change(self, verb: Verb[Answer], dry_run: bool) -> Answer:
        now = self._clock()
        when = now.isoformat(timespec="seconds").replace("+00:00", "Z")

        def work(session: Session) -> Answer:
            logged = len(session.log)
            answer = verb(self._table(session, now), when)
            if dry_run:
                raise Undo(as_before(answer, session.log[logged:]))
            return answer

        return await self._database.write(work)

    def _table(self, session: Session, now: datetime) -> Versions:
        return Versions(session, int(now.timestamp()), self._retention)
