"""A real terminal for tests, and what runs on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class Terminal:
    """A terminal with a program on it: keys go in by `type`, `until` reads what it shows."""

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        rows: int = 24,
        cols: int = 80,
    ) -> None:
        self.master, slave = pty.openpty()
        self.slave = slave
        self.seen = b""
        self.resize(rows, cols)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**env, "TERM": "xterm"},
            cwd=folder,
            process_group=0,
        )

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def until(self, pattern: bytes, within: float = 30) -> re.Match[bytes]:
        """Read until `pattern` comes after what was read for the last one."""
        deadline = time.monotonic() + within
        while (found := re.search(pattern, self.seen)) is None:
            left = deadline - time.monotonic()
            assert left > 0 and self.process.poll() is None, f"no {pattern!r} in {self.seen!r}"
            self._read(min(left, 0.1))
        self.seen = self.seen[found.end() :]
        return found

    def _read(self, timeout: float) -> None:
        """Read what it shows: a program that shows more than a terminal holds would stand still."""
        while select.select([self.master], [], [], timeout)[0]:
            self.seen += os.read(self.master, 65536)
            timeout = 0

    def end(self, within: float = 30) -> int:
        """Return the exit code; the terminal must be as it was."""
        deadline = time.monotonic() + within
        while (code := self.process.poll()) is None:
            assert time.monotonic() < deadline, f"still runs: {self.seen!r}"
            self._read(0.1)
        self._read(0)
        assert termios.tcgetattr(self.slave) == self.before, "the terminal was left changed"
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)
