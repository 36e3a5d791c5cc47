"""The standard streams of a one-off command: three pipes, or one terminal."""

from __future__ import annotations

import os
import select
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple

# With 64 answers ahead of its reader this stays well below what a controller holds for one.
CHUNK = 1 << 15
END_OF_INPUT = b"\x04"


class Streams:
    """`theirs` are the command's descriptors 0, 1 and 2; one thread moves bytes at our ends.

    `size` is a terminal's [rows, columns]; None means pipes, where stdout and stderr stay apart.
    Without `has_input` the command reads the end of file at once.
    """

    def __init__(self, size: Optional[List[int]], has_input: bool) -> None:
        self.tty = ""
        self._sources: Dict[int, int] = {}
        self._lock = threading.Lock()
        self._input = bytearray()
        self._is_ending = not has_input
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        if size is not None:
            self._sink, slave = os.openpty()
            self._sources[self._sink] = 1
            self.theirs = [slave, slave, slave]
            self.tty = os.ttyname(slave)
            self.resize(*size)
        else:
            taken, self._sink = os.pipe()
            self.theirs = [taken]
            for number in (1, 2):
                ours, given = os.pipe()
                self._sources[ours] = number
                self.theirs.append(given)
        os.set_blocking(self._sink, False)

    def give(self) -> None:
        """Close the command's ends, which it has by now: only then do we see it close them."""
        for fd in set(self.theirs):
            os.close(fd)
        self.theirs = []

    def feed(self, data: bytes) -> None:
        """Add to what the command reads; from any thread."""
        self._add(data, is_last=False)

    def end_input(self) -> None:
        """Let the command read an end of file after what it was fed."""
        self._add(END_OF_INPUT if self.tty else b"", is_last=not self.tty)

    def _add(self, data: bytes, *, is_last: bool) -> None:
        with self._lock:
            self._input += data
            self._is_ending = self._is_ending or is_last
            try:
                os.write(self._wake, b".")
            except OSError:
                pass  # full of wakings, or closed: nobody has to be woken

    def resize(self, rows: int, cols: int) -> None:
        """Set the window size; the terminal tells its foreground programs by SIGWINCH."""
        import fcntl
        import struct
        import termios

        with self._lock:
            if self.tty and self._sink >= 0:
                size = struct.pack("HHHH", rows & 0xFFFF, cols & 0xFFFF, 0, 0)
                fcntl.ioctl(self._sink, termios.TIOCSWINSZ, size)

    def move(self, timeout: float) -> Tuple[List[Tuple[int, bytes]], int]:
        """Move what can be moved: return [(1 or 2, what came from it)], how much input was taken.

        Returns when something moved, and after `timeout` seconds.
        """
        taken = self._pour()
        full = [self._sink] if self._input and self._sink >= 0 else []
        timeout = 0 if taken else timeout
        ready = select.select([*self._sources, self._woken], full, [], timeout)[0]
        came = []
        for fd in ready:
            chunk = self._read(fd)
            if fd != self._woken and chunk:
                came.append((self._sources[fd], chunk))
            elif fd != self._woken:
                self._close(fd)
        return came, taken + self._pour()

    def _pour(self) -> int:
        """Write what input the command takes now; what it will never take counts as taken."""
        with self._lock:
            count = len(self._input)
            if count and self._sink >= 0:
                try:
                    count = os.write(self._sink, self._input)
                except BlockingIOError:
                    count = 0
                except OSError:  # it closed its input, or ended
                    self._is_ending = self._is_ending or not self.tty
            del self._input[:count]
            if self._is_ending and not self._input and self._sink >= 0 and not self.tty:
                os.close(self._sink)
                self._sink = -1
        return count

    def _read(self, fd: int) -> bytes:
        try:
            return os.read(fd, CHUNK)
        except OSError:  # how a terminal tells that nobody has it open any more
            return b""

    def _close(self, fd: int) -> None:
        with self._lock:
            del self._sources[fd]
            if fd == self._sink:
                self._sink = -1
            os.close(fd)

    @property
    def is_over(self) -> bool:
        """Whether the command, and whatever it started, closed both outputs."""
        return not self._sources

    def close(self) -> None:
        self.give()
        for fd in list(self._sources):
            self._close(fd)
        with self._lock:
            for fd in (self._sink, self._woken, self._wake):
                if fd >= 0:
                    os.close(fd)
            self._sink = self._wake = -1
