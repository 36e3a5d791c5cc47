"""The pauses of a rollout: waited for here, ended by time or by `steer rollout promote`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from steersman.api.quantities import format_duration
from steersman.api.release import Release
from steersman.control.memory import Memory
from steersman.control.release import PROMOTED
from steersman.control.report import Reporter
from steersman.control.wishes import POLL, Wishes, is_paused, passed_pauses, resumes
from steersman.planning.rollout import Wait

JUDGING = 5.0


class Pauses:
    """Waits, by a clock that no change of the wall's moves."""

    def __init__(self, memory: Memory, report: Reporter, wishes: Wishes, release: Release) -> None:
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
        end = loop.time() + stage.seconds
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
            await self._memory.annotate(name, {PROMOTED: f"{number}:{stage.number}"})
        return None

    async def _is_passed(self, stage: Wait) -> bool:
        app = await self._wishes.now()
        return app is not None and passed_pauses(app, self._release.spec.number) >= stage.number
