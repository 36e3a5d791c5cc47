"""Waiting for one's turn: who holds it is said once, and the wait has an end."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest

from steersman.control.report import Silent
from steersman.control.turns import Turn
from steersman.store.errors import LeaseHeld, LeaseLost
from steersman.store.protocol import Lease, Store
from steersman.store.sqlite import SqliteStore


class Said(Silent):
    """Keeps what is said, by subject."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.spoke = asyncio.Event()

    def said(self, subject: str, text: str) -> None:
        self.lines.append((subject, text))
        self.spoke.set()


async def test_the_next_in_turn_is_told_of_the_holder_and_goes_on(tmp_path: Path) -> None:
    said = Said()
    async with SqliteStore(tmp_path / "s") as store:
        first = await store.acquire_lease("app/shop", "steer of ada@tower")

        async def second() -> str:
            async with Turn(said, patience=30).holding(store, "app/shop", "steer of bob@tower"):
                return "bob's turn"

        waiting = asyncio.create_task(second())
        await said.spoke.wait()
        assert not waiting.done()
        await store.release_lease(first)
        assert await waiting == "bob's turn"
        assert not await store.is_leased("app/shop"), "a turn that is over is given back"
    assert [subject for subject, _ in said.lines] == ["shop"], "it is said once"
    assert "waiting up to 30 s: app/shop: steer of ada@tower" in said.lines[0][1]


async def test_patience_ends_with_the_holders_name(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "s") as store:
        await store.acquire_lease("app/shop", "steer of ada@tower")
        with pytest.raises(LeaseHeld, match="ada@tower"):
            async with Turn(Silent(), patience=0).holding(store, "app/shop", "bob"):
                pytest.fail("two at once")


async def test_whoever_loses_its_turn_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steersman.control.turns.HOLDING", 0.0)
    monkeypatch.setattr("steersman.control.turns.RENEWAL", 0.05)
    async with SqliteStore(tmp_path / "s") as store:
        with pytest.raises(LeaseLost):
            async with Turn(Silent()).holding(store, "app/shop", "ada"):
                await store.acquire_lease("app/shop", "bob", ttl=60)
                await asyncio.Event().wait()
        assert await store.is_leased("app/shop"), "the loser gave back what is bob's"


class Leases:
    """A store that counts how often a lease is renewed, and when."""

    def __init__(self) -> None:
        self.renewed: list[float] = []
        self.ttls: list[float] = []
        self.given_back = 0

    async def acquire_lease(self, name: str, holder: str, ttl: float) -> Lease:
        self.ttls.append(ttl)
        return Lease(name, holder, 1, "token")

    async def renew_lease(self, lease: Lease, ttl: float) -> None:
        self.renewed.append(asyncio.get_running_loop().time())
        self.ttls.append(ttl)

    async def release_lease(self, lease: Lease) -> None:
        self.given_back += 1


@pytest.mark.looptime
async def test_a_turn_that_takes_long_is_renewed_well_before_it_would_end() -> None:
    store = Leases()
    began = asyncio.get_running_loop().time()
    async with Turn(Silent()).holding(cast(Store, store), "app/shop", "ada"):
        await asyncio.sleep(3600)
    times = [began, *store.renewed, began + 3600]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) * 2 <= min(store.ttls), "one renewal that fails loses the turn"
    assert store.given_back == 1
