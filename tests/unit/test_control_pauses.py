"""The pauses of a rollout: how long they last, who ends them, and what outlives a controller."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from laws.test_planning import app_of, wanted
from steersman.api.app import App
from steersman.control.memory import Memory
from steersman.control.pauses import Pauses
from steersman.control.release import PAUSED, PROMOTED
from steersman.control.report import Silent
from steersman.control.wishes import Wishes
from steersman.planning.rollout import Wait

RELEASE = wanted(2).release
TIMED, ASKED, NEXT = Wait(1, 60.0, 2, 4), Wait(1, None, 2, 4), Wait(2, None, 4, 4)

pytestmark = pytest.mark.looptime


class Remembered:
    """What a store remembers of one app, whichever controller asks."""

    def __init__(self) -> None:
        self.now = app_of()

    async def app(self, name: str) -> App:
        return self.now

    async def annotate(self, name: str, changes: Mapping[str, str | None]) -> App:
        merged = {**self.now.metadata.annotations, **changes}
        kept = {key: value for key, value in merged.items() if value is not None}
        metadata = self.now.metadata.model_copy(update={"annotations": kept})
        self.now = self.now.model_copy(update={"metadata": metadata})
        return self.now


class Scene:
    """One app, and controllers that wait for its pauses one after another."""

    def __init__(self) -> None:
        self.remembered = Remembered()
        self.judgements = 0
        self.well = True
        self.leap = 0.0

    async def wait(self, stage: Wait) -> str | None:
        """Let a new controller wait."""
        memory = cast(Memory, self.remembered)
        wishes = Wishes(memory, self.remembered.now, RELEASE)
        pauses = Pauses(memory, Silent(), wishes, RELEASE, wall=self._wall)
        return await pauses.wait(stage, self._judged)

    def _wall(self) -> datetime:
        seconds = asyncio.get_running_loop().time() + self.leap
        return datetime(2026, 11, 25, tzinfo=UTC) + timedelta(seconds=seconds)

    async def _judged(self) -> bool:
        self.judgements += 1
        return self.well

    async def took(self, stage: Wait) -> tuple[str | None, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        return await self.wait(stage), loop.time() - began

    async def later(self, seconds: float, **changes: Any) -> None:
        await asyncio.sleep(seconds)
        await self.remembered.annotate("shop", {f"steersman/{k}": v for k, v in changes.items()})


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_timed_pause_lasts_its_time_and_is_judged_meanwhile(scene: Scene) -> None:
    halted, seconds = await scene.took(TIMED)
    assert halted is None and 60 <= seconds < 61
    assert 10 <= scene.judgements <= 12, "every five seconds"


async def test_a_pause_that_was_waited_for_is_over_for_every_later_controller(
    scene: Scene,
) -> None:
    await scene.wait(TIMED)
    assert scene.remembered.now.metadata.annotations[PROMOTED] == "2:1"
    assert await scene.took(TIMED) == (None, 0)


@pytest.mark.parametrize(
    ("leap", "left"),
    [(0, 20), (10, 10), (3600, 0), (-86400, 60)],
    ids=["at once", "soon", "late", "after a leap of the clock"],
)
async def test_a_controller_that_dies_in_a_pause_leaves_the_rest_to_the_next(
    scene: Scene, leap: float, left: float
) -> None:
    waiting = asyncio.create_task(scene.wait(TIMED))
    await asyncio.sleep(40)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert PROMOTED not in scene.remembered.now.metadata.annotations
    scene.leap = leap
    halted, seconds = await scene.took(TIMED)
    assert halted is None and left <= seconds < left + 1
    assert scene.remembered.now.metadata.annotations == {PROMOTED: "2:1"}


async def test_no_clock_moves_the_end_of_a_pause_under_way(scene: Scene) -> None:
    waiting = asyncio.create_task(scene.took(TIMED))
    await asyncio.sleep(10)
    scene.leap = 86400
    halted, seconds = await waiting
    assert halted is None and 60 <= seconds < 61


@pytest.mark.parametrize("mark", ["2:1 tomorrow", "2:1", "1:1 2026-01-01T00:00:00+00:00"])
async def test_a_beginning_that_is_not_this_pause_s_counts_for_nothing(
    scene: Scene, mark: str
) -> None:
    await scene.later(0, pausing=mark)
    halted, seconds = await scene.took(TIMED)
    assert halted is None and 60 <= seconds < 61


async def test_a_pause_without_a_time_halts_until_somebody_promotes(scene: Scene) -> None:
    halted, seconds = await scene.took(ASKED)
    assert seconds == 0 and halted is not None
    assert halted.startswith("paused at step 2 of 4; `steer rollout promote app/shop`")
    await scene.later(0, promoted="2:1")
    assert await scene.wait(ASKED) is None
    assert await scene.wait(NEXT) is not None, "one promotion passed two pauses"
    await scene.later(0, promoted="2:2")
    assert await scene.wait(NEXT) is None


async def test_the_promotion_of_another_release_counts_for_nothing(scene: Scene) -> None:
    await scene.later(0, promoted="1:9")
    assert await scene.wait(ASKED) is not None


async def test_a_promotion_ends_a_timed_pause_at_once(scene: Scene) -> None:
    promoting = asyncio.create_task(scene.later(20, promoted="2:1"))
    halted, seconds = await scene.took(TIMED)
    assert halted is None and 20 <= seconds < 21
    await promoting


async def test_a_pause_of_the_app_holds_a_timed_one(scene: Scene) -> None:
    pausing = asyncio.create_task(scene.later(10, paused="true"))
    halted, seconds = await scene.took(TIMED)
    assert halted == "paused; `steer rollout resume app/shop` goes on" and seconds < 11
    assert PAUSED in scene.remembered.now.metadata.annotations
    await pausing


async def test_a_canary_that_does_badly_ends_its_pause(scene: Scene) -> None:
    scene.well = False
    halted, seconds = await scene.took(TIMED)
    assert halted is None and 5 <= seconds < 6
    assert PROMOTED not in scene.remembered.now.metadata.annotations
