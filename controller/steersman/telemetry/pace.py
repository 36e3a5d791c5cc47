"""How fast batches leave: a few at once, and then one every so often."""

from __future__ import annotations

HASTY = 5
"""So many batches leave without waiting, after a quiet while: an error behind another is not held
back, and what comes without end leaves in whole batches."""


class Pace:
    """The generic cell rate algorithm (ITU-T I.371), told the time by its caller.

    One may leave `every` so many seconds; whoever left none for a while has `HASTY` to its credit.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._due = float("-inf")

    def held(self, now: float) -> float:
        """Return for how many seconds the next is to be held back; less than 0 if it is not."""
        return self._due - (HASTY - 1) * self._every - now

    def left(self, now: float) -> None:
        """Count one that leaves. Whole batches ask nobody: what they overdraw is not held against
        those behind them."""
        self._due = min(max(self._due, now) + self._every, now + HASTY * self._every)
