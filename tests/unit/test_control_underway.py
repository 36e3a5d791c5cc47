"""A crowd goes through a door: who gets on is followed, who waits is passed by."""

import asyncio
from collections.abc import Callable

import pytest

from steersman.control.underway import LONG, MOST, QUIET, Underway

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


def idle() -> float:
    return 0.0


class Crowd:
    """Begins one after the other as there is room, and remembers when each of them began."""

    def __init__(self, computed: Callable[[], float] = idle) -> None:
        self._underway = Underway(computed)
        self._tasks: list[asyncio.Task[None]] = []
        self._busy = 0
        self.most_at_once = 0

    async def begin(self, count: int, *, seconds: float) -> float:
        """Begin so many that take so many seconds each; return when the last of them began."""
        for _ in range(count):
            await self._underway.room()
            self._tasks.append(asyncio.create_task(self._take(seconds)))
            self._underway.add(self._tasks[-1])
        return now()

    async def _take(self, seconds: float) -> None:
        self._busy += 1
        self.most_at_once = max(self.most_at_once, self._busy)
        await asyncio.sleep(seconds)
        self._busy -= 1

    async def gone(self) -> None:
        await asyncio.gather(*self._tasks)


async def test_no_more_are_begun_than_get_on_at_once() -> None:
    crowd = Crowd()
    began = await crowd.begin(3 * MOST, seconds=QUIET / 2)
    await crowd.gone()
    assert (crowd.most_at_once, began) == (MOST, QUIET)


async def test_who_all_wait_hold_nobody_up_for_longer_than_it_takes_to_see_it() -> None:
    crowd = Crowd()
    await crowd.begin(MOST, seconds=60)
    assert await crowd.begin(MOST, seconds=60) == QUIET
    assert await crowd.begin(1, seconds=60) == 2 * QUIET


async def test_who_compute_are_not_taken_for_waiting() -> None:
    crowd = Crowd(computed=now)
    await crowd.begin(MOST, seconds=LONG / 2)
    assert await crowd.begin(1, seconds=0) == LONG / 2
    assert crowd.most_at_once == MOST


async def test_some_who_wait_do_not_slow_the_others_down_for_ever() -> None:
    crowd = Crowd()
    await crowd.begin(MOST - 1, seconds=60)
    # One after the other, for there is one place left.
    began = await crowd.begin(round(LONG / (QUIET / 2)), seconds=QUIET / 2)
    assert began == pytest.approx(LONG - QUIET / 2)
    assert await crowd.begin(MOST, seconds=QUIET / 2) == pytest.approx(LONG)
