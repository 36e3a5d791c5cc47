"""What hosts are asked is asked of the store anew when an app has changed, and never otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beside import beside
from steersman.api.host import Host
from steersman.api.mask import Masks
from steersman.control.memory import Memory
from steersman.store.protocol import Query
from steersman.store.sqlite import SqliteStore
from steersman.telemetry import listening
from steersman.telemetry.asking import Asking
from steersman.telemetry.hub import Hub
from steersman.telemetry.listening import Listeners
from steersman.testing.samples import WITHIN, app, host
from steersman.transport.frames import Reply

BATCH = Reply({"count": 0, "more": True}, b"[]")


class CountingMemory(Memory):
    """Knows how often it was asked for the apps of a host."""

    asked = 0

    async def apps_on(self, host: str) -> list[str]:
        self.asked += 1
        return await super().apps_on(host)


class FakeSession:
    """A session with one host, which says as many batches as it is given."""

    def __init__(self, store: SqliteStore) -> None:
        self.memory = CountingMemory(store)
        self.silent: dict[str, Exception] = {}
        self.batches: asyncio.Queue[Reply] = asyncio.Queue()
        self.listened: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def connect(self, host: Host, hosts: Any) -> Any:
        return SimpleNamespace(name=host.name, host=host, masks=Masks(), link=self)

    async def stream(self, op: str, *, sources: dict[str, Any]) -> AsyncIterator[Reply]:
        self.listened.put_nowait(sources)
        while True:
            batch = await self.batches.get()
            try:
                yield batch
            finally:
                self.batches.task_done()

    async def say(self, count: int) -> None:
        """Return when so many batches were taken."""
        for _ in range(count):
            self.batches.put_nowait(BATCH)
        await self.batches.join()


def routed(*paths: str) -> dict[str, Any]:
    shop = app()
    web = {"command": "gunicorn shop.wsgi", "port": "http"}
    routes = [{"host": "shop.example.com", "path": path, "process": "web"} for path in paths]
    return {**shop, "spec": {**shop["spec"], "processes": {"web": web}, "routes": routes}}


async def test_a_host_is_asked_anew_when_its_app_has_other_routes_and_at_no_other_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "COUNTED_EVERY", 0.0)
    monkeypatch.setattr(listening, "FIRST", 0.0)
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    async with SqliteStore(folder) as store, asyncio.timeout(WITHIN):
        await store.put(routed("/"))
        await store.put_status("App", "shop", {"hosts": ["h1"]})
        await store.put(host())
        session = FakeSession(store)
        listeners = Listeners(session, Hub(), folder)  # type: ignore[arg-type]
        async with listeners.listening():
            await listeners.attend(await session.memory.hosts())
            asked = await session.listened.get()
            assert asked["access"]["logs"]["shop"]["routes"] == [["shop.example.com", "/"]]
            await session.say(50)
            # At its start, and once more as the store was not followed by then.
            assert session.memory.asked <= 2

            await store.put(routed("/", "/new"))
            while session.listened.empty():
                await session.say(1)
            asked = await session.listened.get()
    routes = [["shop.example.com", "/"], ["shop.example.com", "/new"]]
    assert sorted(asked["access"]["logs"]["shop"]["routes"]) == routes


class Told:
    """A store that tells of the changes that it is given."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[str] = asyncio.Queue()

    async def revision(self) -> int:
        return 1

    async def watch(self, revision: int, query: Query) -> AsyncIterator[SimpleNamespace]:
        while True:
            yield SimpleNamespace(type=await self.changes.get())
            # Whoever asks for the next has taken this one in.
            self.changes.task_done()


async def test_a_bookmark_is_no_change_of_an_app() -> None:
    store = Told()
    asking = Asking(SimpleNamespace(store=store))  # type: ignore[arg-type]
    async with beside(asking.follow()), asyncio.timeout(WITHIN):
        for told, changes in (("MODIFIED", 2), ("BOOKMARK", 2), ("DELETED", 3)):
            store.changes.put_nowait(told)
            await store.changes.join()
            assert asking.changes == changes, told
