"""Frames on a byte stream: two lengths, a JSON header, a raw body."""

from __future__ import annotations

import json
import os
import select
import struct
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Tuple

    Header = Dict[str, Any]

LENGTHS = struct.Struct(">II")
MAX_HEADER = 8 << 20
MAX_BODY = 1 << 20
# A controller pings every 5 s: one that is silent for this long is frozen or gone.
SILENCE = 15.0


class Refused(Exception):
    """An operation that was not done; `kind` is for the controller, the message for a person."""

    def __init__(self, kind: str, message: str, **detail: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.detail = detail


class Wire:
    """One duplex stream of frames; `send` may be called from any thread."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._buffer = bytearray()
        self._writing = threading.Lock()

    def receive(self) -> Optional[Tuple[Header, bytes]]:
        """Return the next frame, or None at end of file or after `SILENCE`."""
        lengths = self._take(LENGTHS.size)
        if lengths is None:
            return None
        head, body = LENGTHS.unpack(lengths)
        if head > MAX_HEADER or body > MAX_BODY:
            raise ValueError("frame of %d+%d bytes is over the limit" % (head, body))
        raw = self._take(head + body)
        if raw is None:
            return None
        return json.loads(raw[:head]), raw[head:]

    def send(self, header: Header, body: bytes = b"") -> None:
        raw = json.dumps(header, separators=(",", ":")).encode()
        data = memoryview(LENGTHS.pack(len(raw), len(body)) + raw + body)
        with self._writing:
            while data:
                data = data[os.write(self._write_fd, data) :]

    def _take(self, count: int) -> Optional[bytes]:
        while len(self._buffer) < count:
            if not select.select([self._read_fd], [], [], SILENCE)[0]:
                return None
            chunk = os.read(self._read_fd, 1 << 18)
            if not chunk:
                return None
            self._buffer += chunk
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken
