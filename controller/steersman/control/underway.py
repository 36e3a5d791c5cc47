"""How much a keeper has under way at once: a limit for what computes, and none for what waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

MOST = 100
"""So many are begun at once, as long as they get on."""
QUIET, LONG = 0.05, 1.0
"""Seconds without an end after which more are begun, and after which one counts no more."""
IDLE = 0.2
"""The share of the quiet time up to which it was not spent computing."""


class Underway:
    """Tasks that were begun lately.

    Thousands at once stand in one another's way, and push one another out of the processor's
    caches; those that wait for a host that is slow or away stand in nobody's. `computed` returns
    the seconds of a processor that this thread has used.
    """

    def __init__(self, computed: Callable[[], float] = time.thread_time) -> None:
        self._computed = computed
        self._begun: dict[asyncio.Task[None], float] = {}
        self._ended = asyncio.Event()

    def add(self, task: asyncio.Task[None]) -> None:
        self._begun[task] = asyncio.get_running_loop().time()
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._begun.pop(task, None)
        self._ended.set()

    async def room(self) -> None:
        """Return once one more may begin."""
        while len(self._begun) >= MOST:
            self._ended.clear()
            computed = self._computed()
            try:
                async with asyncio.timeout(QUIET):
                    await self._ended.wait()
            except TimeoutError:
                if self._computed() - computed < IDLE * QUIET:
                    self._begun.clear()
            self._forget_slow()

    def _forget_slow(self) -> None:
        latest = asyncio.get_running_loop().time() - LONG
        while self._begun and next(iter(self._begun.values())) <= latest:
            del self._begun[next(iter(self._begun))]
