"""Calls that share a transaction: one fsync for all, and each as if it were alone."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from steersman.store.database import Database
from steersman.store.errors import Conflict, StoreError, StoreFull
from steersman.store.lane import Session
from steersman.store.sqlite import SqliteStore
from steersman.testing.samples import WITHIN, app, names


@asynccontextmanager
async def held_up(database: Database) -> AsyncIterator[None]:
    """Let calls queue up for as long as the block lasts."""
    go = threading.Event()
    waiting = asyncio.create_task(database.bare(lambda connection: go.wait()))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        await asyncio.sleep(0)
        go.set()
        await waiting


async def test_what_queues_up_is_committed_once_and_told_after_that(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        database = store._database
        tasks: list[asyncio.Task[Any]] = []
        seen: list[bool] = []

        def on_commit() -> bool:
            seen.append(any(task.done() for task in tasks))
            return False

        await database.bare(lambda connection: connection.set_commit_hook(on_commit))
        async with held_up(database):
            tasks += [asyncio.create_task(store.put(app(f"a{n}"))) for n in range(100)]
        made = await asyncio.gather(*tasks)
        assert seen == [False]
        versions = [one.resource_version for one in made]
        assert versions == list(range(versions[0], versions[0] + 100))


async def test_a_call_that_fails_undoes_itself_alone(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        async with held_up(store._database):
            tasks = [
                asyncio.create_task(store.put(app(f"a{n}"), 7 if n == 1 else 0)) for n in range(3)
            ]
            late = asyncio.create_task(store.put(app("a0", count=2), 99))
        done = await asyncio.gather(*tasks, late, return_exceptions=True)
        assert [isinstance(one, Conflict) for one in done] == [False, True, False, True]
        assert await names(store, "App") == ["a0", "a2"]
        assert await store.revision() == 2


async def test_a_call_that_breaks_the_transaction_costs_the_others_nothing(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        await store.put(app("first"))
        database = store._database
        pages = await database.bare(lambda connection: connection.pragma("page_count"))
        await database.bare(lambda connection: connection.pragma("max_page_count", pages + 3))
        big = app("big")
        big["spec"]["padding"] = "x" * 100_000
        async with held_up(database):
            wishes = (app("a"), big, app("b"))
            tasks = [asyncio.create_task(store.put(wish)) for wish in wishes]
        one, full, other = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(full, StoreFull)
        assert not isinstance(one, BaseException)
        assert not isinstance(other, BaseException)
        assert (one.resource_version, other.resource_version) == (2, 3)
        assert await names(store, "App") == ["a", "b", "first"]


async def test_a_cancelled_call_is_not_made(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        async with held_up(store._database):
            tasks = [asyncio.create_task(store.put(app(f"a{n}"))) for n in range(3)]
            await asyncio.sleep(0)
            tasks[1].cancel()
        await asyncio.gather(tasks[0], tasks[2])
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        assert await names(store, "App") == ["a0", "a2"]


async def test_calls_before_a_close_are_made(tmp_path: Path) -> None:
    store = await SqliteStore(tmp_path).open()
    async with held_up(store._database):
        # More than one transaction takes.
        tasks = [asyncio.create_task(store.put(app(f"a{n}"))) for n in range(600)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(store.close())
    assert [one.change for one in await asyncio.gather(*tasks)] == ["created"] * 600
    await closing
    with pytest.raises(StoreError, match="closed"):
        await store.put(app())


async def test_readers_are_not_held_up_by_a_writer(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        await store.put(app())
        async with held_up(store._database):
            write = asyncio.create_task(store.put(app(count=2)))
            assert await names(store, "App") == ["shop"]
            assert not write.done()
        await write


async def test_the_reader_cannot_write(tmp_path: Path) -> None:
    def write(session: Session) -> None:
        session.run("DELETE FROM objects")

    async with SqliteStore(tmp_path) as store:
        await store.put(app())
        with pytest.raises(StoreError, match="cannot be written"):
            await store._database.read(write)
        assert await names(store, "App") == ["shop"]


async def test_what_runs_between_transactions_has_its_turn(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    is_over = threading.Event()
    tasks: list[asyncio.Task[None]] = []

    async with Database(tmp_path / "state.db") as database:

        def queue(is_queued: threading.Event) -> None:
            tasks.append(loop.create_task(database.write(work)))
            loop.call_soon(is_queued.set)

        def work(session: Session) -> None:
            """Do not end before another call waits: there is always one."""
            is_queued = threading.Event()
            if not is_over.is_set():
                loop.call_soon_threadsafe(queue, is_queued)
                is_queued.wait()

        tasks.append(loop.create_task(database.write(work)))
        await asyncio.sleep(0)
        try:
            await asyncio.wait_for(database.bare(lambda connection: None), WITHIN)
        finally:
            is_over.set()
        for task in tasks:
            await task
