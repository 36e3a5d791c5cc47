"""What a host says besides frames: before the hand, on its standard error, and at its end."""

from __future__ import annotations

import re
from collections import deque

from steersman.api.errors import SteersmanError
from steersman.transport import bundle
from steersman.transport.errors import (
    BundleRefused,
    HandFailed,
    ProtocolError,
    PythonMissing,
    PythonTooOld,
    SudoRefused,
    printable,
)
from steersman.transport.target import Target

_LONGEST_PREAMBLE = 64 * 1024
_MOST_LINES = 20
_LONGEST_LINE = 500
_NOT_FOUND = 127


class Preamble:
    """Skips what login scripts print before the hand's first word."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._text = b""
        self.is_over = False
        self.is_hand_wanted = False
        """Whether the host has no copy of the hand, and waits for one."""

    def skip(self, data: bytes) -> bytes:
        """Return what of `data` is the hand's."""
        if self.is_over:
            return data
        text = self._text + data
        if not self.is_hand_wanted:
            before, wanted, after = text.partition(bundle.WANTED)
            self.is_hand_wanted = bool(wanted)
            text = after if wanted else before
        before, ready, after = text.partition(bundle.READY)
        self.is_over = bool(ready)
        self._text = b"" if ready else before
        if len(before) > _LONGEST_PREAMBLE:
            raise ProtocolError(self._host, "a flood of text instead of the hand")
        return after


class Tail:
    """The last 20 lines of a byte stream, escaped; holds at most 10 kB whatever comes."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=_MOST_LINES)
        self._partial = b""

    def feed(self, data: bytes) -> None:
        *complete, rest = (self._partial + data).split(b"\n")
        self._lines.extend(line[:_LONGEST_LINE] for line in complete[-_MOST_LINES:])
        self._partial = rest[:_LONGEST_LINE]

    def lines(self) -> tuple[str, ...]:
        raw = [*self._lines, self._partial]
        text = [printable(line.decode(errors="replace").rstrip()) for line in raw]
        return tuple(line for line in text if line)[-_MOST_LINES:]


def startup_error(target: Target, status: int | None, said: tuple[str, ...]) -> SteersmanError:
    """Return why the hand never got ready, from what its shell, sudo or bootstrap said."""
    last = said[-1] if said else ""
    if bundle.TOO_OLD in last:
        return PythonTooOld(target.name, last.rpartition(bundle.TOO_OLD)[2])
    if bundle.CUT_SHORT in last or bundle.ALTERED in last:
        return BundleRefused(target.name, last)
    if re.search(r"python3: (command )?not found|python3: No such file", last):
        return PythonMissing(target.name)
    if target.become == "sudo" and re.search(r"\bsudo\b", last):
        return SudoRefused(target.name, last)
    if status == _NOT_FOUND:
        return PythonMissing(target.name)
    return hand_failure(target, status, said)


def hand_failure(target: Target, status: int | None, said: tuple[str, ...]) -> SteersmanError:
    how = f"ended with status {status}" if status is not None else "was killed"
    return HandFailed(target.name, how, said)
