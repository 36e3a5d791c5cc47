"""The keeper works on keys for ever, whatever one of them does."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from beside import beside
from steersman.api.errors import SteersmanError
from steersman.control.busy import Busy
from steersman.control.keeper import Keeper
from steersman.control.underway import MOST

pytestmark = pytest.mark.looptime


class Passing(SteersmanError):
    retryable = True


Calls = list[tuple[str, bool, float]]


def recorded(calls: Calls, *errors: Exception) -> Callable[[str, bool], Awaitable[None]]:
    """Return a reconciler that raises `errors` in turn, and then no more."""
    left = list(errors)

    async def reconcile(name: str, asked: bool) -> None:
        calls.append((name, asked, round(asyncio.get_running_loop().time(), 2)))
        if left:
            raise left.pop(0)

    return reconcile


async def test_what_fails_is_tried_again_ever_later_and_still_as_asked() -> None:
    calls: Calls = []
    keeper = Keeper({"App": recorded(calls, *[Passing("no")] * 3)}, jitter=lambda: 0.0)
    async with beside(keeper.run()):
        keeper.wake("App/shop")
        await asyncio.sleep(100)
    began = calls[0][2]
    assert [round(at - began) for _, _, at in calls] == [0, 1, 3, 7]
    assert [asked for _, asked, _ in calls] == [True] * 4
    assert keeper.healths == {}


async def test_what_waiting_cannot_mend_is_not_tried_again() -> None:
    calls: Calls = []
    keeper = Keeper({"App": recorded(calls, SteersmanError("no such secret"))})
    async with beside(keeper.run()):
        keeper.wake("App/shop")
        await asyncio.sleep(5000)
        assert len(calls) == 1
        assert keeper.healths == {"App/shop": "no such secret"}
        keeper.wake("App/shop")
        await asyncio.sleep(1)
    assert len(calls) == 2
    assert keeper.healths == {}


async def test_a_bug_in_one_reconciler_stops_nobody() -> None:
    good: Calls = []
    bad: Calls = []
    faults = [ZeroDivisionError("a bug"), KeyError("another")]
    keeper = Keeper({"App": recorded(good), "Drift": recorded(bad, *faults)}, jitter=lambda: 0.0)
    async with beside(keeper.run()):
        keeper.wake("Drift/shop@h1")
        keeper.wake("App/shop")
        await asyncio.sleep(10)
        keeper.wake("App/blog")
        await asyncio.sleep(1)
    assert [name for name, _, _ in good] == ["shop", "blog"]
    assert len(bad) == 3


async def test_only_what_is_asked_for_hurries_what_failed() -> None:
    calls: Calls = []
    keeper = Keeper({"App": recorded(calls, *[Passing("no")] * 5)}, jitter=lambda: 0.0)
    async with beside(keeper.run()):
        keeper.wake("App/shop", asked=False)
        await asyncio.sleep(4)
        assert len(calls) == 3
        keeper.wake("App/shop", asked=False)
        await asyncio.sleep(1)
        assert len(calls) == 3
        keeper.wake("App/shop", asked=True)
        await asyncio.sleep(0.1)
    assert [asked for _, asked, _ in calls] == [False, False, False, True]


async def test_one_slow_key_holds_up_no_other() -> None:
    calls: Calls = []
    never = asyncio.Event()

    async def slow(name: str, asked: bool) -> None:
        await never.wait()

    keeper = Keeper({"App": slow, "Drift": recorded(calls)})
    async with beside(keeper.run()):
        keeper.wake("App/shop")
        for number in range(100):
            keeper.wake(f"Drift/shop@h{number}", asked=False)
        await asyncio.sleep(1)
    assert len(calls) == 100


async def test_a_key_that_is_dropped_is_not_tried_again() -> None:
    calls: Calls = []
    keeper = Keeper({"App": recorded(calls, Passing("no"))})
    async with beside(keeper.run()):
        keeper.wake("App/shop")
        await asyncio.sleep(0.1)
        keeper.drop("App/shop")
        await asyncio.sleep(5000)
    assert len(calls) == 1
    assert keeper.healths == {}


async def test_what_is_busy_is_idle_when_the_last_has_ended() -> None:
    busy = Busy()
    order: list[str] = []

    async def waits() -> None:
        await busy.idle("shop")
        order.append("idle")

    with busy.marking(["shop", "blog"]):
        waiting = asyncio.create_task(waits())
        with busy.marking(["shop"]):
            await asyncio.sleep(1)
        assert "shop" in busy
        await asyncio.sleep(1)
        order.append("ending")
    await waiting
    assert order == ["ending", "idle"]
    assert "shop" not in busy
    assert "blog" not in busy


async def test_whoever_listens_is_told_of_each_failure() -> None:
    told: list[tuple[str, str]] = []
    keeper = Keeper(
        {"App": recorded([], Passing("no"), ValueError("bug"), SteersmanError("final"))},
        jitter=lambda: 0.0,
        failed=lambda key, error: told.append((key, str(error))),
    )
    async with beside(keeper.run()):
        keeper.wake("App/shop")
        await asyncio.sleep(100)
    assert told == [("App/shop", "no"), ("App/shop", "bug"), ("App/shop", "final")]


async def test_a_crowd_is_not_under_way_at_once_and_no_slow_one_holds_it_up() -> None:
    under_way, most, left = 0, 0, 3 * MOST
    slow, over = asyncio.Event(), asyncio.Event()

    async def reconcile(name: str, asked: bool) -> None:
        nonlocal under_way, most, left
        under_way += 1
        most = max(most, under_way)
        if name == "slow":
            await slow.wait()
        else:
            await asyncio.sleep(0.01)
            left -= 1
        under_way -= 1
        if not left:
            over.set()

    keeper = Keeper({"App": reconcile})
    async with beside(keeper.run()):
        began = asyncio.get_running_loop().time()
        for name in ("slow", *map(str, range(left))):
            keeper.wake(f"App/{name}", asked=False)
        await over.wait()
        took = asyncio.get_running_loop().time() - began
        slow.set()
    assert most == MOST
    # Beside the slow one there is room for all but one: three hundred have four turns.
    assert took == pytest.approx(0.04)
