"""Signals that wait to be shipped: bounded in number and size, and the oldest goes first."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from steersman.api.plugin import Buffer
from steersman.api.signals import ErrorReport, LogRecord, Signal

_PLAIN = 512
"""Bytes that a signal takes without its texts, roughly."""


class Waiting:
    """A queue that never refuses: what finds no room has the oldest dropped, and counted."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._signals: deque[tuple[int, Signal]] = deque()
        self._size = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._signals)

    @property
    def is_batch(self) -> bool:
        """Whether there is enough for a whole batch."""
        return len(self._signals) >= self._buffer.batch

    def put(self, signal: Signal) -> None:
        size = size_of(signal)
        self._signals.append((size, signal))
        self._size += size
        while len(self._signals) > self._buffer.signals or self._size > self._buffer.size:
            self._size -= self._signals.popleft()[0]
            self.dropped += 1

    def take(self) -> list[Signal]:
        """Return the next batch, oldest first, and have it wait no more."""
        taken = []
        for _ in range(min(len(self._signals), self._buffer.batch)):
            size, signal = self._signals.popleft()
            self._size -= size
            taken.append(signal)
        return taken

    def take_over(self, signals: Sequence[Signal]) -> None:
        """Have signals wait that waited elsewhere before."""
        for signal in signals:
            self.put(signal)

    def give_up(self) -> list[Signal]:
        """Return everything, and be empty."""
        signals = [signal for _, signal in self._signals]
        self._signals.clear()
        self._size = 0
        return signals


def size_of(signal: Signal) -> int:
    """Return roughly how much memory a signal takes, in bytes."""
    if isinstance(signal, LogRecord):
        fields = sum(len(str(value)) + 64 for value in signal.fields.values())
        return _PLAIN + len(signal.text) + fields
    if isinstance(signal, ErrorReport):
        frames = sum(
            _PLAIN + len(frame.code) + sum(map(len, (*frame.before, *frame.after)))
            for raised in signal.exceptions
            for frame in raised.frames
        )
        crumbs = sum(map(size_of, signal.breadcrumbs))
        return _PLAIN + len(signal.title) + len(signal.message) + frames + crumbs
    return _PLAIN
