"""Which apps a verb works on at this moment, in this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class Busy:
    """Lets what a daemon does of its own accord keep out of the way of what people asked for.

    The lease of an app keeps two from working on it; this keeps the second from beginning: whoever
    asked hears the progress of the work only if it is theirs.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._ended = asyncio.Event()

    @contextmanager
    def marking(self, names: Collection[str]) -> Iterator[None]:
        """Say that these apps are worked on while the body runs."""
        self._counts.update(names)
        try:
            yield
        finally:
            for name in names:
                self._counts[name] -= 1
                if not self._counts[name]:
                    del self._counts[name]
            self._ended.set()
            self._ended = asyncio.Event()

    def __contains__(self, name: str) -> bool:
        return name in self._counts

    async def idle(self, name: str) -> None:
        """Return when nothing works on an app."""
        while name in self._counts:
            await self._ended.wait()
