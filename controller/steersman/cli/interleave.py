"""Streams of timed lines as one: in the order of their times, as far as that can be known."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import NamedTuple, Protocol, TypeVar


class Timed(Protocol):
    """Anything with a time, in seconds."""

    @property
    def time(self) -> float: ...


T = TypeVar("T", bound=Timed)

# So long a line waits for an earlier one of another stream that is quiet just now.
PATIENCE = 0.3
# So many lines are read ahead of each stream.
AHEAD = 256


class _Queued(NamedTuple):
    arrived: float
    item: object


class _Reader:
    """One stream, read ahead; `error` is what ended it, if anything did."""

    def __init__(self, stream: AsyncIterator[T], woken: asyncio.Event) -> None:
        self.queue: deque[_Queued] = deque()
        self.is_done = False
        self.error: Exception | None = None
        self._room = asyncio.Event()
        self._woken = woken
        self._task = asyncio.create_task(self._read(stream))
