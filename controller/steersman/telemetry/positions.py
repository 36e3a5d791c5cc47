"""How far each host was listened to: so that nothing is missed after a break, and nothing twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson


class Positions:
    """A small file for each host in `folder`, written in place after each batch.

    What a killed daemon had published, its next one knows. No fsync: after a power cut some lines
    come again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fds: dict[str, int] = {}
        self._written: dict[str, bytes] = {}
        folder.mkdir(mode=0o700, exist_ok=True)

    def read(self, host: str) -> dict[str, Any]:
        """Return what `write` was given last, {} when nothing is known."""
        try:
            known = orjson.loads(os.pread(self._fd(host), 1 << 22, 0))
        except orjson.JSONDecodeError:
            return {}
        return known if isinstance(known, dict) else {}

    def write(self, host: str, at: dict[str, Any]) -> None:
        fd, data = self._fd(host), orjson.dumps(at)
        if self._written.get(host) == data:
            return  # most batches of a quiet host hold no line
        self._written[host] = data
        # One write, and spaces over the rest of a longer one: a kill leaves the one or the other.
        os.pwrite(fd, data.ljust(os.fstat(fd).st_size), 0)

    def _fd(self, host: str) -> int:
        if host not in self._fds:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._fds[host] = os.open(self._folder / f"{host}.json", flags, 0o600)
        return self._fds[host]

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
