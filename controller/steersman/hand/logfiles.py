"""What supervised processes wrote: one file for each unit, kept small by Supervisor.

The lines carry no time of their own: what was written before we began to read is as old as its
file says, what comes after is of now.
"""

from __future__ import annotations

import fnmatch
import os
import time

from . import files
from .place import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Set, Tuple

    Entry = Dict[str, object]

# Nobody reads more of one file than this when asking for its last lines.
LOOK_BACK = 1 << 20
# Logs of units that are gone: the latest of them tell why a release failed.
KEPT = 20
FOLDER = "log"
EXITS = "exits"
# Of a line that is passed on live.
LONGEST = 1 << 14
# What has no end for so long is a line nevertheless; of one log at once, so that none is left out.
LONGEST_PIECE, MOST_AT_ONCE = 1 << 16, 1 << 18


def path_of(place: Place, unit: str) -> str:
    app = unit[len("steersman-") :].partition(".")[0]
    return place.app(app, FOLDER, unit + ".log")


def matching(place: Place, pattern: str) -> Dict[str, str]:
    """Return {unit: path} of the logs of units that fit the glob `pattern`, oldest first."""
    found: List[Tuple[float, str, str]] = []
    for app in files.entries(os.path.join(place.root, "apps")):
        folder = place.app(app, FOLDER)
        for name in files.entries(folder):
            unit, ending = os.path.splitext(name)
            if ending == ".log" and fnmatch.fnmatchcase(unit, pattern):
                path = os.path.join(folder, name)
                found.append((_written(path), unit, path))
    return {unit: path for _, unit, path in sorted(found)}


def tail(place: Place, units: List[str], count: int) -> List[str]:
    """Return the last `count` lines, those of the unit that wrote last at the end."""
    paths = sorted((path_of(place, unit) for unit in units), key=_written)
    return [line for path in paths for line in Reader(path, LOOK_BACK).read()][-count:]


def follow(
    place: Place, pattern: str, since: float, lines: int, is_live: bool, stop: threading.Event
) -> Iterator[Entry]:
    """Yield {"t", "unit", "line", "at"}: what is there, then, if live, what comes until `stop`.

    Whoever merges the `at` of all the lines that it has can `go_on` right behind them.
    """
    readers: Dict[str, Reader] = {}
    entries: List[Entry] = []
    for unit, path in matching(place, pattern).items():
        readers[unit] = Reader(path, LOOK_BACK if lines >= 0 else None)
        written = _written(path)
        read = list(_entries(unit, readers[unit], written))
        entries += read if written >= since else []
    yield from entries[max(0, len(entries) - lines) :] if lines >= 0 else entries
    if is_live:
        yield from go_on(place, pattern, readers, stop)


def go_on(
    place: Place, pattern: str, readers: Dict[str, Reader], stop: threading.Event
) -> Iterator[Entry]:
    """Yield what comes behind `readers` until `stop`; logs without one are new."""
    while not stop.wait(0.2):
        for unit, path in matching(place, pattern).items():
            if unit not in readers:
                readers[unit] = Reader(path, None)
            yield from _entries(unit, readers[unit], time.time())


def resumed(place: Place, after: Dict[str, Any]) -> Dict[str, Reader]:
    """Return readers that go on behind {unit: [inode, offset]}, the `at` of what was told."""
    readers: Dict[str, Reader] = {}
    for unit, path in matching(place, "*").items():
        if unit in after:
            readers[unit] = Reader(path, None)
            readers[unit].resume(*(int(number) for number in after[unit]))
    return readers


def _entries(unit: str, reader: Reader, at: float) -> Iterator[Entry]:
    for number, line in enumerate(reader.read()):
        yield {"t": at, "unit": unit, "line": line, "at": {unit: reader.ends[number]}}


def trim(place: Place, wanted: Set[str]) -> None:
    """Remove the oldest logs of units that are no longer `wanted`, app by app."""
    for app in files.entries(os.path.join(place.root, "apps")):
        logs = matching(place, "steersman-%s.*" % app)
        old = [path for unit, path in logs.items() if unit not in wanted]
        for path in old[: max(0, len(old) - KEPT)]:
            for name in (path, path + ".1"):
                files.remove(name)


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


class Lines:
    """A source for `listen`: follows every log from settings["at"], its {unit: [inode, offset]},
    and how processes end, from behind the line `EXITS` of it.

    A log that is not in there is new, and read from its start, unless nothing is known at all.
    """

    every = 0.2

    def __init__(self, place: Place, settings: Dict[str, Any]) -> None:
        from .exits import Exits

        self.fds: List[int] = []
        self._place = place
        self._readers: Dict[str, Reader] = {}
        known = settings.get("at")
        for unit, path in matching(place, "*").items():
            at = (known or {}).get(unit, [0, 0] if known is not None else [-1, 0])
            self._readers[unit] = Reader(path, 0 if at[0] < 0 else None)
            if at[0] > 0:
                self._readers[unit].resume(int(at[0]), int(at[1]))
        self._exits = Exits(place.extra["supervisor"], (known or {}).get(EXITS))

    def take(self) -> Iterator[Dict[str, Any]]:
        for unit, path in matching(self._place, "*").items():
            if unit not in self._readers:
                self._readers[unit] = Reader(path, None)
            for line in self._readers[unit].read(MOST_AT_ONCE):
                cut = line if len(line) <= LONGEST else line[:LONGEST] + "…"
                yield {"log": [unit, time.time(), cut, 6]}
        # Behind the lines: what a process said last says why it ended.
        yield from self._exits.told()

    @property
    def positions(self) -> Dict[str, Any]:
        known: Dict[str, Any] = {u: reader.position for u, reader in self._readers.items()}
        return known if self._exits.last is None else {**known, EXITS: self._exits.last}

    def close(self) -> None: ...


class Reader:
    """The whole lines of a log that grows and, when full, is renamed and begun anew."""

    def __init__(self, path: str, look_back: Optional[int]) -> None:
        self._path = path
        self._look_back = look_back
        self._inode = 0
        self._offset = 0
        self._rest = b""
        self.position = [0, 0]
        """Where the last whole line that was read ended: [inode, offset]."""
        self.ends: List[List[int]] = []
        """Where each line of the last `read` ended."""

    def resume(self, inode: int, offset: int) -> None:
        """Go on behind what was read of a file, though it may have been renamed since."""
        self._inode, self._offset = inode, offset
        self.position = [inode, offset]

    def read(self, most: int = -1) -> List[str]:
        """Return the lines that were completed since the last call, from at most `most` bytes."""
        self.ends = []
        try:
            with self._opened() as file:
                file.seek(self._offset)
                data = file.read(most)
        except FileNotFoundError:
            return []
        end = self._offset - len(self._rest)
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_PIECE:
            lines, self._rest = [*lines, self._rest], b""
        if lines or not self._rest:
            self.position = [self._inode, self._offset - len(self._rest)]
        for line in lines:
            end = min(end + len(line) + 1, self._offset)
            self.ends.append([self._inode, end])
        return [line.decode("utf-8", "backslashreplace") for line in lines]

    def _opened(self) -> BinaryIO:
        """Return the file to go on with: first what is left of the one that was renamed."""
        file = open(self._path, "rb")  # noqa: SIM115 - the caller closes it
        status = os.fstat(file.fileno())
        if status.st_ino == self._inode and status.st_size >= self._offset:
            return file
        old = self._renamed() if status.st_ino != self._inode else None
        if old is not None and os.fstat(old.fileno()).st_size > self._offset:
            file.close()
            return old
        if old is not None:
            old.close()
        else:
            self._rest = b""
        self._begin(status)
        return file

    def _renamed(self) -> Optional[BinaryIO]:
        try:
            old = open(self._path + ".1", "rb")  # noqa: SIM115 - the caller closes it
        except FileNotFoundError:
            return None
        if os.fstat(old.fileno()).st_ino == self._inode:
            return old
        old.close()
        return None

    def read_to_end(self) -> List[str]:
        """Return what is left of a log that nobody writes any more, an unfinished line included."""
        lines = [line for _ in range(2) for line in self.read()]
        rest, self._rest = self._rest, b""
        return [*lines, rest.decode("utf-8", "backslashreplace")] if rest else lines

    def _begin(self, status: os.stat_result) -> None:
        is_first = self._inode == 0
        self._inode, self._offset = status.st_ino, 0
        if is_first and self._look_back is not None:
            self._offset = max(0, status.st_size - self._look_back)
