"""Has anything that a look would see changed? Answered without looking: inotify(7)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

# IN_MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF.
EVENTS = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC


class Folders:
    """Watches folders, not what is below them; each name that comes or goes is an event."""

    def __init__(self) -> None:
        import ctypes

        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.inotify_init1(NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "no inotify")

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def watch(self, folders: "Iterable[str]") -> None:
        """Watch those of the folders that are there."""
        for folder in folders:
            # Watching twice is harmless: a folder made anew has a new inode and needs it.
            self._libc.inotify_add_watch(self._fd, os.fsencode(folder), EVENTS)

    def quiet(self) -> bool:
        """Return whether nothing happened since the last call, and forget what did."""
        quiet = True
        while True:
            try:
                if not os.read(self._fd, 1 << 16):
                    return quiet
                quiet = False
            except BlockingIOError:
                return quiet
