"""Objects at hand are those of the store, whoever changed them, at the moment of asking."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from steersman.control.memory import Memory
from steersman.store.protocol import Page, Query
from steersman.store.sqlite import SqliteStore


def obj(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    base = {"apiVersion": "steersman/v1", "kind": kind, "metadata": {"name": name}}
    return {**base, "spec": spec}


def app(name: str) -> dict[str, Any]:
    return obj("App", name, {"source": {"path": "/src"}})


def host(name: str, address: str) -> dict[str, Any]:
    return obj("Host", name, {"address": address})


def job(name: str, of: str) -> dict[str, Any]:
    return obj("Job", name, {"app": of, "command": "true"})


def release(of: str, number: int) -> dict[str, Any]:
    spec = {"app": of, "number": number, "source": {"path": "/src"}, "content": "c", "builds": {}}
    return obj(
        "Release", f"{of}-{number}", {**spec, "digest": "0" * 64, "template": {"processes": {}}}
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "state") as opened:
        yield opened


async def everything(memory: Memory) -> list[Any]:
    """Return all that can be asked for; Hosts by the apps on them, too."""
    apps, hosts = await memory.apps(), await memory.hosts()
    found: list[Any] = [apps, hosts, await memory.jobs(), await memory.jobs("a-1")]
    found += [await memory.releases(name) for name in ("a-1", "a-2", "a-3")]
    return [*found, [await memory.apps_on(name) for name in ("h1", "h2")]]


@pytest.mark.parametrize("seed", range(5))
async def test_views_are_what_the_store_says(store: SqliteStore, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    plain, quick = Memory(store), Memory(store)
    quick.keep_views()
    async with SqliteStore(tmp_path / "state") as other:
        for _ in range(60):
            one = chance.choice([store, other])
            name = f"a-{chance.randint(1, 3)}"
            match chance.randrange(7):
                case 0:
                    await one.put(app(name))
                case 1:
                    await one.put(
                        host(f"h{chance.randint(1, 2)}", f"192.0.2.{chance.randint(1, 9)}")
                    )
                case 2:
                    await one.put(release(name, chance.randint(1, 4)))
                case 3:
                    await one.put(job(f"j{chance.randint(1, 3)}", name))
                case 4:
                    await one.delete("Release", f"{name}-{chance.randint(1, 4)}")
                case 5:
                    await one.delete(
                        chance.choice(["App", "Host", "Job"]), chance.choice([name, "h1", "j1"])
                    )
                case _:
                    if await one.get("App", name) is not None:
                        hosts = chance.sample(["h1", "h2"], chance.randint(0, 2))
                        await one.put_status("App", name, {"hosts": sorted(hosts)})
            assert await everything(quick) == await everything(plain)


async def test_what_is_not_in_the_log_any_more_is_read_anew(store: SqliteStore) -> None:
    plain, quick = Memory(store), Memory(store)
    quick.keep_views()
    await store.put(app("a-1"))
    assert list(await quick.apps()) == ["a-1"]
    await store.put(app("a-2"))
    await store.delete("App", "a-1")
    await store.compact()
    assert await everything(quick) == await everything(plain)


async def test_an_unchanged_object_is_not_read_again(store: SqliteStore) -> None:
    quick = Memory(store)
    quick.keep_views()
    await store.put(app("a-1"))
    first = (await quick.apps())["a-1"]
    await store.put(app("a-2"))
    assert (await quick.apps())["a-1"] is first


async def test_many_who_ask_while_much_changes_read_everything_once(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    page = store.page

    async def paged(query: Query) -> Page:
        reads.append(1)
        await store.put(app(f"b-{len(reads)}"))
        return await page(query)

    monkeypatch.setattr(store, "page", paged)
    memory = Memory(store)
    memory.keep_views()

    async def work(name: str) -> None:
        await store.put(app(name))
        assert name in await memory.apps()

    await asyncio.gather(*(work(f"a-{number}") for number in range(20)))
    assert len(reads) == 1
