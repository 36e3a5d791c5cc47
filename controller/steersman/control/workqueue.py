"""The queue of a controller: keys to look at again, never events.

As in client-go: a key that is added twice is worked on once; one that is added while it is worked
on comes again afterwards; one key is never worked on twice at a time; failures wait ever longer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

SHORTEST, LONGEST = 0.005, 1000.0
"""Seconds after the first failure, and at most; each failure doubles."""


class WorkQueue:
    """Times are the loop's. `jitter` returns a number in [0, 1): hosts that fail together must not
    be asked together."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._waiting: dict[str, None] = {}
        self._active: set[str] = set()
        self._again: set[str] = set()
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()

    def add(self, key: str) -> None:
        """Have a key worked on soon."""
        later = self._later.pop(key, None)
        if later is not None:
            later.cancel()
        if key in self._active:
            self._again.add(key)
        else:
            self._waiting[key] = None
            self._changed.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Have a key worked on in `seconds`, unless it comes sooner by itself."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        known = self._later.get(key)
        if key in self._waiting or (known is not None and known.when() <= due):
            return
        if known is not None:
            known.cancel()
        self._later[key] = loop.call_at(due, self.add, key)

    async def get(self) -> str:
        """Return the next key; whoever takes it says `done` when it was worked on."""
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._active.add(key)
        return key

    def done(self, key: str) -> None:
        """Say that the work on a key has ended, however it did."""
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def failed(self, key: str, most: float = LONGEST, least: float = SHORTEST) -> float:
        """Have a key worked on again later; return in how many seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        # From 64 doublings on, the number itself would overflow before the limit is applied.
        seconds = min(least * 2.0 ** min(count, 64), most) * (1 + 0.1 * self._jitter())
        self.add_after(key, seconds)
        return seconds

    def is_put_off(self, key: str) -> bool:
        """Whether a key waits for its time."""
        return key in self._later

    def forget(self, key: str) -> None:
        """Let the next failure of a key be its first again."""
        self._failures.pop(key, None)

    def drop(self, key: str) -> None:
        """Forget all of a key that is not worked on any more."""
        self.forget(key)
        self._waiting.pop(key, None)
        self._again.discard(key)
        later = self._later.pop(key, None)
        if later is not None:
            later.cancel()

    @property
    def waiting(self) -> tuple[str, ...]:
        """The keys that wait for a worker."""
        return tuple(self._waiting)
