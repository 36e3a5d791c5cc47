"""Waiting for one's turn: who holds it is said once, and the wait has an end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from steersman.control.report import Silent
from steersman.control.turns import Turn
from steersman.store.errors import LeaseHeld, LeaseLost
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
