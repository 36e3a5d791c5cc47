"""A queue that hostile or hasty senders cannot make grow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from steersman.api.errors import SteersmanError
from steersman.transport.frames import Frame


class Inbox:
    """Frames waiting for one reader, limited in number and in bytes on the wire."""

    def __init__(self, most_frames: int, most_bytes: int) -> None:
        self._most_frames = most_frames
        self._most_bytes = most_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._error: SteersmanError | None = None
        self._closed = False
        self._changed = asyncio.Event()
        self.dropped = 0

    def put(self, frame: Frame) -> bool:
        """Add a frame; say whether it fitted without dropping any."""
        self._frames.append(frame)
        self._bytes += frame.size
        fitted = True
        while len(self._frames) > self._most_frames or self._bytes > self._most_bytes:
            self._bytes -= self._frames.popleft().size
            self.dropped += 1
            fitted = False
        self._changed.set()
        return fitted

    def close(self, error: SteersmanError | None = None) -> None:
        """End the queue: what waits in it is still read, then `error` is raised, if any."""
        if not self._closed:
            self._closed, self._error = True, error
            self._changed.set()

    async def get(self) -> Frame | None:
        """Return the next frame, or None at the end."""
        while not self._frames:
            if self._error is not None:
                raise self._error
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        frame = self._frames.popleft()
        self._bytes -= frame.size
        return frame

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while (frame := await self.get()) is not None:
            yield frame
