"""Streams of timed items as one, in the order of their times as far as that can be known."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    """Anything with a time, in seconds."""

    @property
    def time(self) -> float: ...


T = TypeVar("T", bound=Timed)

# So long a live stream is waited for before others go ahead of it: at first, and later on.
FIRST_PATIENCE = 5.0
PATIENCE = 0.2


class _Head(Generic[T]):
    """The next item of a stream: asked for, there, or never (`is_over`)."""

    def __init__(self, stream: AsyncIterator[T]) -> None:
        self._stream = stream
        self.ask(FIRST_PATIENCE)

    def ask(self, patience: float) -> None:
        self.item: T | None = None
        self.is_over = False
        self.waited_until = asyncio.get_running_loop().time() + patience
        self.task = asyncio.ensure_future(anext(self._stream, None))

    def settle(self) -> None:
        """Take what came; raises what the stream raised."""
        if self.task.done() and self.item is None and not self.is_over:
            self.item = self.task.result()
            self.is_over = self.item is None


async def interleaved(
    streams: Sequence[AsyncIterator[T]], *, is_live: bool = False
) -> AsyncGenerator[T]:
    """Yield the items of `streams`, each of which is in order, the earliest first.

    Live streams may be quiet for hours: one that was silent for a moment is not waited for until
    it speaks again.
    """
    heads = [_Head(stream) for stream in streams]
    try:
        while heads:
            await _wait(heads, is_live=is_live)
            heads = [head for head in heads if not head.is_over]
            there = [(head.item.time, n) for n, head in enumerate(heads) if head.item is not None]
            if there:
                earliest = heads[min(there)[1]]
                if earliest.item is not None:
                    yield earliest.item
                earliest.ask(PATIENCE)
    finally:
        for head in heads:
            head.task.cancel()
        await asyncio.gather(*(head.task for head in heads), return_exceptions=True)


async def _wait(heads: Sequence[_Head[T]], *, is_live: bool) -> None:
    """Return once each head is there or over; or, if some are, those that are waited for."""
    loop = asyncio.get_running_loop()
    while asked := [head for head in heads if not head.task.done()]:
        until = max(head.waited_until for head in asked) if is_live else None
        if until is None or len(asked) == len(heads):
            timeout = None
        elif (timeout := until - loop.time()) <= 0:
            break
        await asyncio.wait(
            [head.task for head in asked], timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
    for head in heads:
        head.settle()
