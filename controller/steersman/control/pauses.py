"""The pauses of a rollout: waited for here, ended by time or by `steer rollout promote`.

When one began is remembered, so that a steer that takes the rollout up waits for the rest of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from steersman.api.quantities import format_duration
from steersman.api.release import Release
from steersman.control.memory import Memory
from steersman.control.release import PAUSING, PROMOTED
from steersman.control.report import Reporter
from steersman.control.wishes import (
    POLL,
    Wishes,
    is_paused,
    passed_pauses,
    pause_ends,
    resumes,
)
from steersman.planning.rollout import Wait

JUDGING = 5.0


class Pauses:
    """Waits, by a clock that no change of the wall's moves.

    Only a pause that another steer began is measured by the wall's, and never takes longer than
    one that begins now.
    """

    def __init__(
        self,
        memory: Memory,
        report: Reporter,
        wishes: Wishes,
        release: Release,
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._wall = wall
        self._memory = memory
        self._report = report
        self._wishes = wishes
        self._release = release

    async def wait(self, stage: Wait, judged: Callable[[], Awaitable[bool]]) -> str | None:
        """Return None once the pause is over, or why the rollout halts here.

        `judged` is asked every few seconds; False ends the pause at once.
        """
        name, number = self._release.spec.app, self._release.spec.number
        if await self._is_passed(stage):
            return None
        place = f"paused at step {stage.step} of {stage.of}"
        promote = f"`steer rollout promote app/{name}` goes on"
        if stage.seconds is None:
            return f"{place}; {promote}"
        self._report.said(name, f"{place} for {format_duration(stage.seconds)}; {promote} at once")
        loop = asyncio.get_running_loop()
        end = loop.time() + await self._left(stage, stage.seconds)
        judging = loop.time() + JUDGING
        while (now := loop.time()) < end and not await self._is_passed(stage):
            app = await self._wishes.now()
            if app is not None and is_paused(app):
                return resumes(name)
            if now >= judging:
                judging = now + JUDGING
                if not await judged():
                    return None
            await asyncio.sleep(min(POLL, end - now))
        if not await self._is_passed(stage):
            over = {PROMOTED: f"{number}:{stage.number}", PAUSING: None}
            await self._memory.annotate(name, over)
        return None

    async def _left(self, stage: Wait, seconds: float) -> float:
        """Return how much of a pause is left, and remember when it ends."""
        name, number = self._release.spec.app, self._release.spec.number
        app, now = await self._memory.app(name), self._wall()
        ends = pause_ends(app, number, stage.number)
        if ends is not None:
            return min(max((ends - now).total_seconds(), 0.0), seconds)
        at = (now + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
        await self._memory.annotate(name, {PAUSING: f"{number}:{stage.number} {at}"})
        return seconds

    async def _is_passed(self, stage: Wait) -> bool:
        app = await self._wishes.now()
        return app is not None and passed_pauses(app, self._release.spec.number) >= stage.number
