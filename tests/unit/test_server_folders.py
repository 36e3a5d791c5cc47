"""Followed manifests: applied when they are whole, and never when they are not."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from beside import beside
from steersman.builds import settled
from steersman.builds.settled import BeingWritten, is_being_written
from steersman.control.apply import Applied
from steersman.control.memory import Memory
from steersman.manifests import Sourced
from steersman.planning.inventory import marked
from steersman.server import folders
from steersman.server.folders import Manifests
from steersman.store.sqlite import SqliteStore

WITHIN = 60


def host(name: str, address: str = "192.0.2.1") -> str:
    return (
        "apiVersion: steersman/v1\nkind: Host\n"
        f"metadata: {{name: {name}}}\nspec: {{address: {address}}}\n"
    )


class Bench:
    """A folder of manifests, and what was applied of it."""

    def __init__(self, folder: Path, memory: Memory) -> None:
        self.folder = folder
        self.memory = memory
        self.applied: list[tuple[list[str], bool]] = []
        self.woken = asyncio.Queue[str]()
        self.manifests = Manifests([str(folder)], memory, self._apply, recursive=False)

    async def _apply(self, sourced: Sequence[Sourced], is_complete: bool) -> Applied:
        for each in sourced:
            obj = marked(each.obj, folders.INVENTORY)
            await self.memory.put(obj)
        self.applied.append(([each.obj.name for each in sourced], is_complete))
        return Applied((), ())

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    async def look(self) -> None:
        await self.manifests.reconcile("served", True)

    async def validity(self, name: str) -> list[tuple[str, str]]:
        seen = await self.memory.host(name)
        return [(each.status, each.message) for each in seen.status.conditions]

    async def next_wake(self) -> str:
        async with asyncio.timeout(WITHIN):
            return await self.woken.get()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        def wake(key: str, *, asked: bool = True, after: float = 0.0) -> None:
            self.woken.put_nowait(key)

        async with beside(self.manifests.watch(wake)):
            yield


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "manifests").mkdir()
    async with SqliteStore(tmp_path / "state") as store:
        yield Bench(tmp_path / "manifests", Memory(store))


async def test_a_folder_is_applied_once_for_each_change_of_what_it_says(bench: Bench) -> None:
    bench.write("a.yaml", host("a"))
    bench.write("b.yaml", host("b"))
    await bench.look()
    await bench.look()
    assert bench.applied == [(["a", "b"], True)]
    bench.write("b.yaml", host("b", "192.0.2.2"))
    await bench.look()
    assert bench.applied[1:] == [(["a", "b"], True)]


async def test_a_broken_file_keeps_what_it_said_and_says_why(bench: Bench) -> None:
    bench.write("a.yaml", host("a"))
    bench.write("b.yaml", host("b"))
    await bench.look()
    broken = bench.write("b.yaml", host("b").replace("address", "adress"))
    bench.write("a.yaml", host("a", "192.0.2.9"))
    await bench.look()
    assert bench.applied[1:] == [(["a"], False)]
    assert await bench.validity("a") == []
    ((status, why),) = await bench.validity("b")
    assert status == "False"
    assert f"{broken}:4:" in why
    events = await bench.memory.store.events("Manifests")
    assert [(e.name, e.reason) for e in events] == [("b.yaml", "Broken")]
    bench.write("b.yaml", host("b"))
    await bench.look()
    assert bench.applied[2:] == [(["a", "b"], True)]
    assert [each for each, _ in await bench.validity("b")] == ["True"]


async def test_a_folder_that_is_gone_or_empty_changes_nothing(bench: Bench) -> None:
    kept = bench.write("a.yaml", host("a"))
    await bench.look()
    kept.unlink()
    await bench.look()
    bench.folder.rmdir()
    await bench.look()
    assert len(bench.applied) == 1


async def test_a_file_that_somebody_writes_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.folder / "a.yaml"
    # The whole document but for its last line is a document as well.
    first, last = host("a").rsplit("spec", 1)
    with path.open("w") as file:
        file.write(first)
        file.flush()
        assert is_being_written(str(path))
        looking = asyncio.create_task(bench.look())
        done, _ = await asyncio.wait({looking}, timeout=5 * settled.SETTLING)
        assert not done
        file.write(f"spec{last}")
    await asyncio.wait_for(looking, WITHIN)
    assert not is_being_written(str(path))
    assert bench.applied == [(["a"], True)]
    monkeypatch.setattr(settled, "PATIENCE", 0.0)
    with path.open("a"), pytest.raises(BeingWritten, match=r"a\.yaml"):
        await bench.look()


async def test_every_way_to_save_a_file_is_noticed(bench: Bench) -> None:
    async with bench.watching():
        assert await bench.next_wake() == folders.KEY
        path = bench.write("a.yaml", host("a"))
        assert await bench.next_wake() == folders.KEY
        beside = bench.write(".a.yaml.tmp", host("a", "192.0.2.2"))
        os.replace(beside, path)
        assert await bench.next_wake() == folders.KEY
        path.unlink()
        assert await bench.next_wake() == folders.KEY
