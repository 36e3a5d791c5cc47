"""Events are folded, ordered and bounded."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from steersman.store.happenings import KEPT_PER_OBJECT
from steersman.store.sqlite import SqliteStore


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: int) -> None:
        self.now += timedelta(**by)


async def test_a_repeat_is_counted(tmp_path: Path) -> None:
    clock = Clock()
    async with SqliteStore(tmp_path / "s", clock) as store:
        await store.add_event("App", "shop", "Warning", "Unreachable", "no route", "h1")
        clock.forward(minutes=5)
        event = await store.add_event("App", "shop", "Warning", "Unreachable", "no route", "h1")
        assert event.count == 2
        assert event.first == "2026-11-01T12:00:00.000000Z"
        assert event.last == "2026-11-01T12:05:00.000000Z"
        assert await store.events("App", "shop") == (event,)


async def test_a_repeat_after_an_hour_is_a_new_event(tmp_path: Path) -> None:
    clock = Clock()
    async with SqliteStore(tmp_path / "s", clock) as store:
        await store.add_event("App", "shop", "Normal", "Healed", "web restarted")
        clock.forward(hours=1, seconds=1)
        await store.add_event("App", "shop", "Normal", "Healed", "web restarted")
        assert [event.count for event in await store.events("App", "shop")] == [1, 1]


async def test_the_newest_are_listed_oldest_first(tmp_path: Path) -> None:
    clock = Clock()
    async with SqliteStore(tmp_path / "s", clock) as store:
        for number in range(5):
            clock.forward(seconds=1)
            await store.add_event("App", "shop", "Normal", "Step", f"step {number}")
        last = await store.events("App", "shop", limit=2)
        assert [event.message for event in last] == ["step 3", "step 4"]


async def test_an_object_keeps_a_bounded_number(tmp_path: Path) -> None:
    clock = Clock()
    async with SqliteStore(tmp_path / "s", clock) as store:
        await store.add_event("App", "quiet", "Normal", "Step", "only one")
        for number in range(KEPT_PER_OBJECT + 3):
            clock.forward(seconds=1)
            await store.add_event("App", "shop", "Normal", "Step", f"step {number}")
        kept = await store.events("App", "shop", limit=1000)
        assert len(kept) == KEPT_PER_OBJECT
        assert kept[0].message == "step 3"
        assert len(await store.events("App", "quiet")) == 1
        listed = await store.list("Event")
        assert [one.name for one in listed] == ["quiet-1", *(f"shop-{one.id}" for one in kept)]
