"""Whether a release fits on a host's disk, and what to say if it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steersman.api.errors import SteersmanError
from steersman.api.quantities import amount_of
from steersman.planning.seen import BadAnswer

INODES_KEPT = 1000
"""What stays free of a disk's inodes: they run out more rarely, and without a warning."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a build will take: bytes, and files (folders count)."""

    size: int = 0
    files: int = 0

    def __add__(self, other: Need) -> Need:
        return Need(self.size + other.size, self.files + other.files)


@dataclass(frozen=True, slots=True)
class Room:
    """What a disk has: bytes free and in all, inodes free; None where they are not counted."""

    free: int
    size: int
    inodes: int | None


class NoRoom(SteersmanError):
    """A release would not fit; not a byte of it was sent."""

    def __init__(self, host: str, root: str, what: str, shortage: str) -> None:
        super().__init__(
            f"host {host}: {what} does not fit: {shortage}; what no app needs was removed from"
            f" {root} already and nothing was sent: make room on that disk, lower spec.history of"
            " apps or spec.disk.keepFree of the host, or place the app elsewhere; then apply again"
        )


def parse_room(answer: Any) -> Room:
    """Return what the hand said of its disk; raises BadAnswer."""
    try:
        inodes = int(answer["inodes"])
        return Room(int(answer["free"]), int(answer["size"]), inodes if inodes >= 0 else None)
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswer(f"the host's answer about its disk makes no sense: {error!r}") from error


def shortage_of(need: Need, room: Room, keep_free: int | str) -> str | None:
    """Return what is too little for `need`, in words and figures; None when it fits."""
    kept = amount_of(keep_free, room.size, round_up=True)
    if room.free - need.size < kept:
        shown = f" ({keep_free})" if isinstance(keep_free, str) else ""
        return (
            f"it needs {megabytes(need.size)}, {megabytes(room.free)} of"
            f" {megabytes(room.size)} are free and {megabytes(kept)}{shown} stay free"
            " (spec.disk.keepFree)"
        )
    if room.inodes is not None and room.inodes - need.files < INODES_KEPT:
        return f"it needs {need.files} inodes, {room.inodes} are free and {INODES_KEPT} stay free"
    return None


def megabytes(size: int) -> str:
    """Return a size as people compare them: rounded up, so that what is short is never 0."""
    return f"{-(-size // 10**6)}M"
