"""Whether files are written to their end: editors and copies leave half of one for a while."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence

from steersman.api.errors import SteersmanError

# What is written slowly is waited for, but not for ever.
SETTLING, PATIENCE = 0.1, 10.0

Looks = Mapping[str, tuple[int, int, int] | None]
"""Inode, size and time of change in nanoseconds of each file; None for one that is not there."""


class BeingWritten(SteersmanError):
    """A file has a writer for longer than anyone takes to save one."""

    retryable = True

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is being written for {PATIENCE:g} s; it is read when whoever has it open"
            " (`fuser -v` names it) closes it, and what it said before holds until then"
        )


async def settled(listed: Callable[[], Awaitable[Sequence[str]]]) -> None:
    """Return once the files that `listed` names rest and nobody writes one; raises BeingWritten."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    before: Looks | None = None
    while True:
        now, open_ = await asyncio.to_thread(_seen, await listed())
        if now == before and open_ is None:
            return
        if loop.time() > deadline and open_ is not None:
            raise BeingWritten(open_)
        before = now
        await asyncio.sleep(SETTLING)


def _seen(paths: Sequence[str]) -> tuple[Looks, str | None]:
    return look(paths), next((path for path in paths if is_being_written(path)), None)


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
