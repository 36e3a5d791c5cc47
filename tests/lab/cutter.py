"""A TCP relay to a host that cuts the connection after so many bytes, once, and then no more."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator
from types import TracebackType

_CHUNK = 1 << 14
# Close with a reset: neither side gets the end of the stream that a polite close would send.
_RESET = struct.pack("ii", 1, 0)


class Cutter:
    """Listens on a port of 127.0.0.1; `carried` counts the bytes of both ways since the start."""

    def __init__(self, address: str, port: int = 22) -> None:
        self._to = address, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._left: int | None = None
        self._open: set[socket.socket] = set()
        self.carried = 0
        self.cuts = 0
        self.port: int = self._listener.getsockname()[1]

    def cut_after(self, count: int) -> None:
        """Cut whichever connection carries the `count`-th byte from now on."""
        with self._lock:
            self._left, self.carried = count, 0

    def cut_now(self) -> None:
        """Cut every connection that is open."""
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):  # it ends just now
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.shutdown(socket.SHUT_RDWR)
                    self.cuts += 1
            self._open.clear()

    def __enter__(self) -> Cutter:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        try:
            with client, contextlib.suppress(OSError), socket.create_connection(self._to) as host:
                self._carry(client, host)
        finally:
            with self._lock:
                self._open.discard(client)

    def _carry(self, client: socket.socket, host: socket.socket) -> None:
        for source, data in self._chunks(client, host):
            allowed = self._allowed(len(data))
            (host if source is client else client).sendall(data[:allowed])
            if allowed < len(data):
                for end in (client, host):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return

    def _chunks(
        self, client: socket.socket, host: socket.socket
    ) -> Iterator[tuple[socket.socket, bytes]]:
        while True:
            ready, _, _ = select.select([client, host], [], [])
            for source in ready:
                data = source.recv(_CHUNK)
                if not data:
                    return
                yield source, data

    def _allowed(self, count: int) -> int:
        """Return how many of the next `count` bytes may pass; fewer is a cut, of which one is."""
        with self._lock:
            self.carried += count
            if self._left is None:
                return count
            if self._left > count:
                self._left -= count
                return count
            allowed, self._left = self._left - 1, None
            self.cuts += 1
            return max(0, allowed)
