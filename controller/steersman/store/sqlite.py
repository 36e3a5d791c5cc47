"""The embedded store: one SQLite file that several processes may have open."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from steersman.store import events, leases, objects, vault
from steersman.store.database import Database
from steersman.store.paths import state_dir
from steersman.store.protocol import Event, Lease, Object, Stored
from steersman.store.selectors import Selector


class SqliteStore:
    """A `Store` in a file; use it as `async with SqliteStore() as store`.

    The file is `state.db` in `folder`, by default $XDG_STATE_HOME/steersman. Calls may come from
    any task of one loop; they run one after the other. Every call raises a StoreError when the
    file fails: StoreBusy and StoreFull are worth another try.
    """

    def __init__(
        self,
        folder: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.path = (folder if folder is not None else state_dir()) / "state.db"
        self._database = Database(self.path)
        self._clock = clock

    async def open(self) -> Self:
        await self._database.open()
        return self

    async def close(self) -> None:
        await self._database.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def get(self, kind: str, name: str) -> Stored | None:
        return await self._database.read(lambda session: objects.get(session, kind, name))

    async def list(self, kind: str, selector: Selector | None = None) -> tuple[Stored, ...]:
        return await self._database.read(lambda session: objects.list_(session, kind, selector))

    async def put(self, target: Object, expected_resource_version: int | None = None) -> Stored:
        now = self._clock().isoformat(timespec="seconds").replace("+00:00", "Z")
        return await self._database.write(
            lambda session: objects.put(session, target, expected_resource_version, now)
        )

    async def put_status(
        self, kind: str, name: str, status: Object, expected_resource_version: int | None = None
    ) -> Stored:
        return await self._database.write(
            lambda session: objects.put_status(
                session, kind, name, status, expected_resource_version
            )
        )

    async def delete(self, kind: str, name: str) -> bool:
        return await self._database.write(lambda session: objects.delete(session, kind, name))

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
        return await self._database.write(
            lambda session: events.add(session, kind, name, type, reason, message, host, now)
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
