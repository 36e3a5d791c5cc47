"""Tells when a file is written to, by whatever process: inotify(7)."""

import ctypes
import os
from pathlib import Path

_IN_MODIFY = 0x2


class Touches:
    """`fileno` is readable once the file was written to since `forget`.

    Raises OSError where the system cannot tell, which is no more than a want of inotify instances.
    """

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "no inotify")
        if libc.inotify_add_watch(self._fd, os.fsencode(path), _IN_MODIFY) < 0:
            number = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(number, os.strerror(number), str(path))

    def fileno(self) -> int:
        return self._fd

    def forget(self) -> None:
        """Forget what was written until now."""
        while True:
            try:
                os.read(self._fd, 1 << 12)
            except BlockingIOError:
                return

    def close(self) -> None:
        os.close(self._fd)
