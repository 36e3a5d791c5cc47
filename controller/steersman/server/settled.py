"""Whether files are written to their end: editors and copies leave half of one for a while."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Mapping, Sequence

Looks = Mapping[str, tuple[int, int, int] | None]
"""Inode, size and time of change in nanoseconds of each file; None for one that is not there."""


def look(paths: Sequence[str]) -> Looks:
    """Return what the files are like now: equal to a later look if nothing wrote meanwhile."""
    return {path: _look(path) for path in paths}


def _look(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def is_being_written(path: str) -> bool:
    """Return whether some process has the file open for writing, as far as can be known.

    fcntl(2): a read lease is granted only on a file that nobody may write just then. Where leases
    are not to be had (another user's file, some file systems), the answer is no.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(fd)
    return False
