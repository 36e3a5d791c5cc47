"""Python tracebacks, found in the lines of programs that know nothing of us.

A pure machine for one process instance: lines and times go in, exceptions come out. Each line is
given to the traceback that waits for one of its kind, so that writers that interleave line by
line are told apart as far as their lines allow. What is held is bounded, whatever is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from steersman.api.signals import Raised
from steersman.telemetry.blocks import (
    CHAINED,
    CLOSING,
    FRAME,
    HEADER,
    MARKERS,
    REPEATED,
    is_raised,
    parse_block,
)

QUIET = 0.15
"""Seconds after what was raised, in which more of a message or of a chain may follow."""
PATIENCE = 2.0
"""Seconds to wait for the rest of a stack that has not said what was raised."""
MOST_OPEN = 4
"""Tracebacks that are read at once; when another begins, the stillest is as whole as it will be."""
MOST_LINES = 1_000
MOST_SAID = 60
"""Lines of a message; those of a group's members are not counted."""
LONGEST = 2_000
_LONGEST_PREFIX = 200
_LOOSE = 3
"""The rank of what may be another line of a message."""

_LONE_FRAME = re.compile(r'  File "[^"]+", line \d+$')
_GROUPED = re.compile(r" +[|+]")
_TIME = re.compile(r"(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d+)?")
# Whatever begins like this is another entry of the log, and no line of a message.
_ENTRY = re.compile(
    r"""
      \[?\d{4}[-/]\d\d[-/]\d\d[T ,]               # 2026-11-25 22:10:00, [2026-11-25 22:10:00 +0000]
    | \[?\d\d:\d\d:\d\d                           # 22:10:00
    | [A-Z][a-z]{2}[ ][ \d]\d[ ]\d\d:\d\d         # Nov 25 22:10
    | [\[<]?(?:DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b[\]>:|\s]
    | (?:\d+\.){3}\d+(?::\d+)?[ ]-[ ]             # an access log: 127.0.0.1 - - [25/Nov/2026:…
    | (?=\S*\d)[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F.:]*[ ]-[ ]  # one of IPv6: ::1 - - [25/…
    | \{"                                         # JSON
    | Exception[ ](?:ignored[ ])?in[ :]           # … thread Thread-1
    """,
    re.VERBOSE,
)

_BEGINNINGS = ("Traceback (most", '  File "', " exception was the ", " of the above exception,")

Expects = Literal["frame", "code", "marker", "message", "chain", "header", "group"]


@dataclass(frozen=True, slots=True)
class Found:
    """A traceback, and when its first line was written."""

    time: float
    exceptions: tuple[Raised, ...]


@dataclass(slots=True)
class _Block:
    """A traceback that is being read; `turn` is when it was given a line last."""

    time: float
    touched: float
    turn: int
    expects: Expects
    lines: list[str]
    prefix: re.Pattern[str] | None = None
    blanks: int = 0
    said: int = 0
    is_first: bool = True

    @property
    def deadline(self) -> float:
        """When it is taken to be whole, or to be cut off."""
        is_group_over = self.expects == "group" and CLOSING.match(self.lines[-1]) is not None
        is_over = is_group_over or self.expects in ("message", "chain")
        return self.touched + (QUIET if is_over else PATIENCE)

    def stripped(self, line: str) -> str | None:
        """Return a line without what precedes each of this block's; None if it is not of them.

        Where only the first line has a prefix, the others are as they are.
        """
        if self.prefix is None:
            return line
        found = self.prefix.match(line)
        if found is not None:
            return line[found.end() :]
        return line if self.is_first else None

    def rank(self, line: str) -> int | None:
        """Return how well a line fits, 0 is best; None if it is of something else."""
        if self.expects in ("frame", "code", "marker"):
            return self._rank_of_frame(line)
        if self.expects == "group" and (_GROUPED.match(line) or CHAINED.match(line)):
            return 0
        if self.expects == "header":
            return 0 if is_raised(line) else None
        if CHAINED.match(line):
            return 0
        # Python itself, unlike its `traceback`, leaves messages in groups without a margin.
        is_more = self.expects in ("message", "group") and self.said < MOST_SAID
        return _LOOSE if is_more and not _ENTRY.match(line) and not HEADER.search(line) else None

    def _rank_of_frame(self, line: str) -> int | None:
        if line.startswith("    "):
            if self.expects == "frame":
                return None
            is_expected = self.expects == ("marker" if MARKERS.match(line) else "code")
            return 0 if is_expected else 1
        if FRAME.match(line) or REPEATED.match(line):
            # Without its source a frame is rare: whoever has had it comes first.
            return 1 if self.expects == "code" else 0
        return 2 if is_raised(line) else None

    def after(self, lines: list[str]) -> str | None:
        """Return the line of this one that follows `lines`; None if it did not begin so."""
        length = len(lines)
        is_ahead = len(self.lines) > length and self.lines[:length] == lines
        return self.lines[length] if is_ahead else None

    def add(self, line: str, rank: int, now: float, turn: int) -> None:
        if self.expects == "marker" and line.startswith("    "):
            # It says nothing, so that it does not matter whose it was taken for.
            self.touched = now
            return
        # Blank lines belong to a message only if more of it follows.
        self.lines += [""] * self.blanks
        self.blanks = 0
        self.lines.append(line)
        self.turn = turn
        if rank == _LOOSE:
            # A message comes all at once: what others say later must not hold it up.
            self.said += 1
        else:
            self.touched, self.said = now, 0
            self.expects = self._next(line)
        # What counts is how it began, and how it ended.
        half = MOST_LINES // 2
        del self.lines[half : max(half, len(self.lines) - half)]

    def _next(self, line: str) -> Expects:
        if CHAINED.match(line):
            return "header"
        if (found := HEADER.match(line)) is not None:
            return "group" if found["margin"] is not None else "frame"
        if self.expects == "group":
            return "group"
        if line.startswith("    "):
            return "marker"
        if FRAME.match(line) or REPEATED.match(line):
            return "code" if FRAME.match(line) else "frame"
        return "message"


@dataclass(slots=True)
class Tracebacks:
    """Reads the lines of one instance."""

    took_line: bool = False
    """Whether the last line belongs to a traceback."""
    _open: list[_Block] = field(default_factory=list)
    _last: str = ""
    _turn: int = 0

    @property
    def deadline(self) -> float | None:
        """When to call `flush` if no line comes until then; None while nothing is read."""
        return min((each.deadline for each in self._open), default=None)

    def line(self, text: str, time: float, now: float) -> list[Found]:
        """Take a line, written at `time` and read at `now`; return what is whole by then."""
        self.took_line = False
        # Nearly all lines of nearly all programs end here.
        if not self._open and not any(word in text for word in _BEGINNINGS):
            self._last = text or self._last
            return []
        ended = self.flush(now)
        self._turn += 1
        line = text[:LONGEST].rstrip()
        if not line:
            self._take_blank()
            return ended
        self.took_line = self._go_on(line, now)
        if not self.took_line and (began := self._begin(line, time, now)) is not None:
            self.took_line = True
            self._open.append(began)
            if len(self._open) > MOST_OPEN:
                ended += self._ended([min(self._open, key=lambda block: block.turn)])
        self._last = line
        return ended

    def flush(self, now: float) -> list[Found]:
        """Return those to which nothing was added for a while."""
        return self._ended([each for each in self._open if now >= each.deadline])

    def close(self) -> list[Found]:
        """Return whatever was being read: nothing more will come."""
        return self._ended(self._open)

    def _ended(self, blocks: Sequence[_Block]) -> list[Found]:
        ended = [Found(block.time, parse_block(block.lines)) for block in blocks]
        self._open = [each for each in self._open if each not in blocks]
        return [found for found in ended if found.exceptions]

    def _take_blank(self) -> None:
        for block in self._open:
            if block.expects == "message" and block.said + block.blanks < MOST_SAID:
                block.blanks += 1

    def _go_on(self, line: str, now: float) -> bool:
        """Give a line to the block that waits for it, and return whether one does."""
        fits: list[tuple[int, _Block, str]] = []
        for block in self._open:
            text = block.stripped(line)
            rank = self._rank(block, text) if text is not None else None
            if text is not None and rank is not None:
                fits.append((rank, block, text))
        if not fits:
            for block in self._open:
                # Somebody says something else: what comes now is no message any more.
                block.expects = "chain" if block.expects == "message" else block.expects
            return False
        best = min(rank for rank, _, _ in fits)
        block, text = self._chosen([(block, text) for rank, block, text in fits if rank == best])
        if block.is_first and block.prefix is not None and text == line:
            block.prefix = None
        block.is_first = False
        block.add(text, best, now, self._turn)
        return True

    def _rank(self, block: _Block, line: str) -> int | None:
        if HEADER.match(line) is not None and block.expects == "header":
            return 0
        return block.rank(line)

    def _chosen(self, fits: Sequence[tuple[_Block, str]]) -> tuple[_Block, str]:
        """Return whose line it is of several that it would fit.

        Two that failed in the same way: who is behind catches up, and does not end before. Else
        writers take turns, except that nobody interrupts a message.
        """
        behind: list[_Block] = []
        for block, text in fits:
            for other in self._open:
                following = other.after(block.lines) if other is not block else None
                if following == text:
                    return block, text
                if following is not None:
                    behind.append(block)
        block, text = fits[0]
        if block.expects in ("message", "chain"):
            return max(fits, key=lambda fit: fit[0].turn)
        if not text.startswith(" "):
            fits = [fit for fit in fits if fit[0] not in behind] or fits
        return min(fits, key=lambda fit: fit[0].turn)

    def _begin(self, line: str, time: float, now: float) -> _Block | None:
        found = HEADER.search(line)
        if found is not None:
            expects: Expects = "group" if found["margin"] is not None else "frame"
            prefix = _prefix(line[: found.start("head")])
            return _Block(time, now, self._turn, expects, [found["head"]], prefix)
        last = self._last[:LONGEST].rstrip()
        if CHAINED.match(line) and is_raised(last):
            # The cause was never raised itself, so that no header told of it.
            return _Block(time, now, self._turn, "header", [last, line])
        if _LONE_FRAME.match(line):
            return _Block(time, now, self._turn, "code", [line])
        return None


def _prefix(text: str) -> re.Pattern[str] | None:
    """Return what each line begins with if the first began with `text`: times go on."""
    if not text or len(text) > _LONGEST_PREFIX:
        return None
    parts = map(re.escape, _TIME.split(text))
    return re.compile(f"(?:{_TIME.pattern})".join(parts))


def read_text(text: str, time: float) -> list[Found]:
    """Return the tracebacks in a text that is there whole, such as a field of a JSON line."""
    reader = Tracebacks()
    ended = [found for line in text.split("\n") for found in reader.line(line, time, time)]
    return ended + reader.close()
