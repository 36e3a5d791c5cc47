"""The fence: one writer at a time, and never one older than the newest seen."""

from __future__ import annotations

import fcntl
import os
import time

from . import files
from .place import Place
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

# Whoever waits is told who holds the host, and asks again.
PATIENCE = 2.0


class Fence:
    """Holds `lock` from the first change that is asked for until it is let go, or this ends."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._fd: Optional[int] = None

    def claim(self, at_least: int, holder: str) -> int:
        """Take the lock, or refuse as `busy`; return an epoch above every one seen so far."""
        if self._fd is None:
            self._fd = self._lock(holder)
        epoch = max(at_least, stored_epoch(self._place) + 1)
        files.write_file(_epoch_path(self._place), b"%d\n" % epoch, 0o644)
        return epoch

    def check(self, epoch: int, holder: str) -> None:
        """Let a change of `epoch` through, or refuse it as `busy` or `stale`."""
        if self._fd is None:
            self._fd = self._lock(holder)
        stored = stored_epoch(self._place)
        if epoch < stored:
            raise Refused(
                "stale",
                "epoch %d is older than %d, which this host has seen: "
                "another controller took over; run the command again" % (epoch, stored),
                stored=stored,
            )
        if epoch > stored:
            files.write_file(_epoch_path(self._place), b"%d\n" % epoch, 0o644)

    def let_go(self) -> None:
        """Give the host up: whoever asks next has it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _lock(self, holder: str) -> int:
        """Take the lock; whoever had it before may have died while it wrote."""
        files.make_folders(self._place.root)
        fd = os.open(
            os.path.join(self._place.root, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    other = os.pread(fd, 200, 0).decode("utf-8", "replace").strip()
                    os.close(fd)
                    raise Refused(
                        "busy",
                        "%s is changing this host; wait for it to end" % (other or "another steer"),
                        holder=other,
                    )
                time.sleep(0.05)
        os.ftruncate(fd, 0)
        os.pwrite(fd, holder.encode(), 0)
        _sweep(self._place)
        return fd


def _sweep(place: Place) -> None:
    """Remove what a killed hand left half-written: nobody else writes while we hold the lock."""
    wants = os.path.join(place.units, "multi-user.target.wants")
    for shared in filter(None, (place.units, wants, place.sites, place.tmpfiles)):
        files.clean_temporaries(shared, "steersman-")
    files.clean_temporaries(place.root)
    for app in files.entries(os.path.join(place.root, "apps")):
        home, releases = place.app(app), place.app(app, "releases")
        below = [os.path.join(home, name) for name in files.entries(home)]
        below += [os.path.join(releases, name) for name in files.entries(releases)]
        for folder in (home, place.run_of(app), *filter(os.path.isdir, below)):
            files.clean_temporaries(folder)


def stored_epoch(place: Place) -> int:
    try:
        with open(_epoch_path(place), "rb") as file:
            return int(file.read() or b"0")
    except FileNotFoundError:
        return 0


def _epoch_path(place: Place) -> str:
    return os.path.join(place.root, "epoch")
