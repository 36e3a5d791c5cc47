"""The pulse of a link: pings now and then, and a word once the other end is silent for too long."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

_SIGN_OF_LIFE = 64 * 1024
_TOGETHER = 0.5
"""Seconds whose pings go at once; of many more links the last would seem to be far."""


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds. The hand kills itself after as long a silence as makes us drop the link."""

    ping: float = 5.0
    silence: float = 15.0
    start: float = 15.0


USUAL = Timing()


class Pulse:
    """Calls `ping` and, once nothing came for too long, `silent` with the seconds of it.

    A host that has not started, which `is_started` tells, is not pinged, and may take as long as
    a start does.
    """

    def __init__(
        self,
        timing: Timing,
        is_started: Callable[[], bool],
        ping: Callable[[], None],
        silent: Callable[[float], None],
    ) -> None:
        self.round_trip: float | None = None
        """Seconds from the last ping that was answered to its answer."""
        self._timing, self._is_started = timing, is_started
        self._ping, self._silent = ping, silent
        self._loop = asyncio.get_running_loop()
        self._heard_at, self._heard_bytes = self._loop.time(), 0
        self._pinged_at = 0.0
        self._ticker: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self.alive()
        self._tick()

    def alive(self) -> None:
        """Count the silence from now on."""
        self._heard_at, self._heard_bytes = self._loop.time(), 0

    def heard(self, size: int) -> None:
        """Take so many bytes that are no whole message yet.

        A slow link may take long for a big one; a host that drips bytes is none.
        """
        self._heard_bytes += size
        if self._heard_bytes >= _SIGN_OF_LIFE:
            self.alive()

    def answered(self) -> None:
        self.round_trip = self._loop.time() - self._pinged_at

    def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()

    def _tick(self) -> None:
        silence = self._loop.time() - self._heard_at
        limit = self._timing.silence if self._is_started() else self._timing.start
        left = limit - silence
        if left <= 0:
            self._silent(silence)
            return
        if self._is_started():
            self._pinged_at = self._loop.time()
            self._ping()
        self._ticker = self._loop.call_at(self.next_tick(left), self._tick)

    def next_tick(self, left: float) -> float:
        """Return when to tick again: with other links, so that many do not wake us as often."""
        soon = self._loop.time() + min(self._timing.ping, left)
        together = math.floor(soon / _TOGETHER) * _TOGETHER
        return together if together > soon - self._timing.ping / 2 else soon
