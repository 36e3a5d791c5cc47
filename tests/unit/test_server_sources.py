"""A save in a source folder has its app looked at; what is no part of the source does not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from beside import beside
from builds_lab.repositories import Repository
from laws.test_planning import app_of
from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.builds import Builder, PathSource
from steersman.control.artifacts import Artifacts
from steersman.control.memory import Memory
from steersman.planning.inventory import marked
from steersman.server import sources
from steersman.server.folders import INVENTORY
from steersman.server.sources import Sources
from steersman.store.sqlite import SqliteStore

WITHIN = 60


class Counting(Memory):
    """A memory that knows how often the watcher came round."""

    rounds = 0

    async def apps(self) -> dict[str, App]:
        self.rounds += 1
        return await super().apps()


class Bench:
    """A source folder, and who was woken."""

    def __init__(self, folder: Path, store: SqliteStore) -> None:
        self.folder = folder / "shop"
        self.folder.mkdir()
        self.memory = Counting(store)
        self.woken, self.overtaken = asyncio.Queue[str](), asyncio.Queue[str]()
        self.fault: SteersmanError | None = None
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        self.builder = Builder(folder / "cache", environ, settles=True)
        self.sources = Sources(self.memory, Artifacts(self.builder), self._overtake, self._wake)

    def _wake(self, key: str, *, asked: bool = True, after: float = 0.0) -> None:
        assert asked
        self.woken.put_nowait(key)

    async def _overtake(self, name: str) -> None:
        self.overtaken.put_nowait(name)
        if self.fault is not None:
            raise self.fault

    async def follow(self, inventory: str = INVENTORY) -> None:
        await self.memory.put(marked(app_of(source={"path": str(self.folder)}), inventory))

    def write(self, name: str, text: str = "1") -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    async def next_wake(self) -> str:
        async with asyncio.timeout(WITHIN):
            return await self.woken.get()

    async def round_(self) -> None:
        """Return when the watcher has seen all that happened until now."""
        wanted = self.memory.rounds + 3
        async with asyncio.timeout(WITHIN):
            while self.memory.rounds < wanted:  # noqa: ASYNC110 - the watcher tells nobody
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        async with beside(self.sources.watch()):
            yield


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(sources, "NOTICE_MS", 100)
    async with SqliteStore(tmp_path / "state") as store:
        yield Bench(tmp_path, store)


async def test_a_save_wakes_the_app_and_what_is_made_again_by_tools_does_not(bench: Bench) -> None:
    bench.write("app.py")
    await bench.follow()
    async with bench.watching():
        # What was saved before anybody watched counts too.
        assert await bench.next_wake() == "App/shop"
        bench.write("deep/er/inner.py")
        assert await bench.next_wake() == "App/shop"
        await bench.round_()
        bench.write("__pycache__/app.pyc")
        bench.write("env-of-mine/pyvenv.cfg")
        bench.write("env-of-mine/lib/site.py")
        bench.write("deep/.app.py.swp")
        bench.write(".pytest_cache/v/lastfailed")
        await bench.round_()
        assert bench.woken.empty()
        bench.write("app.py", "2")
        assert await bench.next_wake() == "App/shop"


async def test_in_a_work_tree_what_git_ignores_wakes_nobody(bench: Bench) -> None:
    repository = Repository(bench.folder)
    bench.write(".gitignore", "*.log\ndata/\n")
    bench.write("app.py")
    await bench.follow()
    async with bench.watching():
        await bench.next_wake()
        await bench.round_()
        bench.write("debug.log")
        bench.write("data/db.sqlite")
        bench.write("pkg/__pycache__/x.pyc")
        bench.write("pkg/x.py~")
        repository.git("add", "app.py")
        await bench.round_()
        assert bench.woken.empty()
        bench.write("pkg/x.py")
        assert await bench.next_wake() == "App/shop"


async def test_only_apps_of_followed_manifests_are_watched(bench: Bench) -> None:
    bench.write("app.py")
    await bench.follow("another")
    async with bench.watching():
        await bench.round_()
        bench.write("app.py", "2")
        await bench.round_()
        assert bench.woken.empty()
        await bench.follow()
        assert await bench.next_wake() == "App/shop"


async def test_a_folder_that_comes_later_is_watched_then(bench: Bench) -> None:
    bench.folder.rmdir()
    await bench.follow()
    async with bench.watching():
        await bench.round_()
        assert bench.woken.empty()
        bench.write("app.py")
        assert await bench.next_wake() == "App/shop"


async def test_a_rollout_of_an_earlier_save_is_told_to_give_up(bench: Bench) -> None:
    bench.write("app.py")
    await bench.follow()
    bench.fault = SteersmanError("the folder is being written to")
    async with bench.watching():
        for text in ("2", "3"):
            assert await bench.next_wake() == "App/shop"
            assert await asyncio.wait_for(bench.overtaken.get(), WITHIN) == "shop"
            bench.write("app.py", text)


async def test_half_of_a_save_is_no_source(bench: Bench) -> None:
    bench.write("app.py", "whole")
    source = PathSource(str(bench.folder))
    whole = (await bench.builder.resolve(source)).content
    with (bench.folder / "app.py").open("w") as file:
        file.write("wh")
        file.flush()
        resolving = asyncio.create_task(bench.builder.resolve(source))
        done, _ = await asyncio.wait({resolving}, timeout=0.5)
        assert not done
        file.write("ole")
    resolved = await asyncio.wait_for(resolving, WITHIN)
    assert resolved.content == whole
