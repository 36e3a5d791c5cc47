"""The follower wakes what a change concerns, and knows who asked for something by it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from steersman.api.host import Host
from steersman.control.drift import SELF_HEAL
from steersman.control.following import Follower
from steersman.control.memory import Memory
from steersman.store.memory import MemoryStore
from steersman.testing.samples import app

Woken = asyncio.Queue[tuple[str, bool]]


@asynccontextmanager
async def followed(store: MemoryStore) -> AsyncIterator[Woken]:
    """Follow a store, and hand out who is woken by what is done to it from now on."""
    woken: Woken = asyncio.Queue()
    has_begun = asyncio.Event()

    async def attend(_: Mapping[str, Host]) -> None:
        has_begun.set()

    def wake(key: str, *, asked: bool = True, after: float = 0.0) -> None:
        woken.put_nowait((key, asked))

    follower = Follower(Memory(store), wake, lambda key: None, attend)
    task = asyncio.create_task(follower.run())
    try:
        await has_begun.wait()
        while not woken.empty():
            woken.get_nowait()
        yield woken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"annotations": {SELF_HEAL: "off"}}, False),
        ({"annotations": {"team": "sea"}}, False),
        ({"labels": {"team": "sea"}}, False),
        ({"annotations": {"steersman/restarted-at": "now"}}, True),
    ],
)
async def test_a_mark_has_an_app_looked_at_and_asks_for_nothing(
    change: dict[str, Any], asked: bool
) -> None:
    store = MemoryStore()
    await store.put(app())
    async with followed(store) as woken:
        await store.put(app(**change))
        assert await woken.get() == ("App/shop", asked)


async def test_another_spec_asks_for_it() -> None:
    store = MemoryStore()
    await store.put(app())
    async with followed(store) as woken:
        await store.put(app(count=3))
        assert await woken.get() == ("App/shop", True)
