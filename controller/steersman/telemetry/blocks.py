"""The grammar of Python's tracebacks: the lines of one, read as what was raised.

Causes, contexts, members of groups, notes, syntax errors and frames without source are read as
`traceback` of Python 3.9 to 3.14 prints them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from steersman.api.signals import Frame, Raised

HEADER = re.compile(
    r"(?P<head>(?P<margin> *[|+] )?(?:Exception Group )?Traceback \(most recent call last\):)$"
)
FRAME = re.compile(r'  File "(?P<file>[^"]*)", line (?P<line>\d{1,9})(?:, in (?P<function>.*))?$')
REPEATED = re.compile(r"  \[Previous line repeated \d+ more times?\]$")
CHAINED = re.compile(
    r"(?:The above exception was the (?P<cause>direct cause) of the following exception"
    r"|During handling of the above exception, another exception occurred):$"
)
MARKERS = re.compile(r"    [ ~^]*[~^][ ~^]*$")
_LEVELS = r"(?!(?:DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|TRACE|NOTSET)\b)"
_RAISED = re.compile(rf"{_LEVELS}(?P<type>[^\W\d][\w.<>]{{0,199}})(?::(?: (?P<message>.*))?)?$")
_MARGIN = re.compile(r"(?P<indent> +)[|+](?: (?P<text>.*))?$")
_MEMBER = re.compile(r"(?P<indent> *)(?P<first>\+-)?\+-{8,} (?:\d+|\.\.\.) -{8,}$")
CLOSING = re.compile(r" *\+-{8,}$")

_DEEPEST = 12
_MOST_EXCEPTIONS = 50
_MOST_FRAMES = 200
_LONGEST_MESSAGE = 8_000


def is_raised(line: str) -> bool:
    """Return whether a line may say what was raised: a class, and mostly a message."""
    return _RAISED.match(line) is not None


class _Token(NamedTuple):
    """A line without the margin of its group; `depth` is how many groups it is in."""

    depth: int
    text: str
    is_member: bool = False


@dataclass(slots=True)
class _Node:
    type: str = ""
    message: str = ""
    frames: list[Frame] = field(default_factory=list)
    members: list[_Node] = field(default_factory=list)
    before: _Node | None = None
    relation: Literal["", "cause", "context"] = ""


def parse_block(lines: Sequence[str]) -> tuple[Raised, ...]:
    """Return what was raised, the exception that was seen first; () if nothing can be read.

    One whose last lines are missing has no type.
    """
    top = _Reader(list(_tokens(lines))).chain(0)
    return tuple(_flat(top))[:_MOST_EXCEPTIONS] if top is not None else ()


def _tokens(lines: Sequence[str]) -> Iterator[_Token]:
    is_group, depth = False, 0
    for line in lines:
        header = HEADER.match(line)
        if header is not None or CHAINED.match(line):
            is_group = header is not None and header["margin"] is not None
        if not is_group:
            yield _Token(0, line)
        elif member := _MEMBER.match(line):
            depth = len(member["indent"]) // 2 + bool(member["first"])
            yield _Token(depth, "", is_member=True)
        elif margin := _MARGIN.match(line):
            depth = len(margin["indent"]) // 2
            yield _Token(depth, margin["text"] or "")
        elif not CLOSING.match(line):
            yield _Token(depth, line)


class _Reader:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = [each for each in tokens if each.depth <= _DEEPEST]
        self._at = 0

    def chain(self, depth: int) -> _Node | None:
        """Return the last exception of a chain, those before it behind it."""
        last = self._one(depth)
        while last is not None:
            self._skip_blanks()
            found = self._match(CHAINED, depth)
            if found is None:
                return last
            self._at += 1
            following = self._one(depth)
            if following is None:
                return last
            following.before = last
            following.relation = "cause" if found["cause"] else "context"
            last = following
        return last

    def _one(self, depth: int) -> _Node | None:
        self._skip_blanks()
        if depth == 0 and self._text(1) is not None:
            depth = 1  # a group that nothing is around has a margin, too
        made = _Node()
        if self._match(HEADER, depth) is not None or self._text(depth) == _GROUP_HEADER:
            self._at += 1
        self._read_frames(depth, made.frames)
        self._read_raised(depth, made)
        while self._at < len(self._tokens) and self._tokens[self._at] == (depth + 1, "", True):
            self._at += 1
            member = self.chain(depth + 1)
            if member is not None:
                made.members.append(member)
        return made if made.type or made.frames else None

    def _read_frames(self, depth: int, frames: list[Frame]) -> None:
        while (text := self._text(depth)) is not None and not is_raised(text):
            if CHAINED.match(text):
                return
            self._at += 1
            found = FRAME.match(text)
            if found is None:
                continue
            code = self._code(depth)
            frames.append(
                Frame(
                    file=found["file"],
                    line=int(found["line"]),
                    function=found["function"] or "",
                    code=code,
                )
            )
        # How it began, and how it came to be.
        del frames[_MOST_FRAMES // 2 : -(_MOST_FRAMES // 2)]

    def _code(self, depth: int) -> str:
        """Return the first line of source below a frame; markers and more of it are left out."""
        code = ""
        while (text := self._text(depth)) is not None and text.startswith("    "):
            code = code or text.strip()
            self._at += 1
        return code

    def _read_raised(self, depth: int, made: _Node) -> None:
        text = self._text(depth)
        found = _RAISED.match(text) if text is not None else None
        if found is None:
            return
        self._at += 1
        message = [found["message"] or ""]
        while (text := self._text(depth)) is not None and not self._is_chained_here(depth):
            message.append(text)
            self._at += 1
        made.type = found["type"]
        made.message = "\n".join(message).rstrip()[:_LONGEST_MESSAGE]

    def _is_chained_here(self, depth: int) -> bool:
        for token in self._tokens[self._at :]:
            if token.text:
                return token.depth == depth and CHAINED.match(token.text) is not None
        return False

    def _text(self, depth: int) -> str | None:
        """Return the next line if it is of that depth."""
        if self._at >= len(self._tokens):
            return None
        token = self._tokens[self._at]
        return token.text if token.depth == depth and not token.is_member else None

    def _match(self, pattern: re.Pattern[str], depth: int) -> re.Match[str] | None:
        text = self._text(depth)
        return pattern.match(text) if text is not None else None

    def _skip_blanks(self) -> None:
        while self._at < len(self._tokens):
            if self._tokens[self._at].text or self._tokens[self._at].is_member:
                return
            self._at += 1


_GROUP_HEADER = "Exception Group Traceback (most recent call last):"


def _flat(top: _Node) -> Iterator[Raised]:
    """Yield exceptions so that each comes behind its parent."""
    waiting: list[tuple[_Node, Literal["", "cause", "context", "member"], int]] = [(top, "", -1)]
    for number in range(_MOST_EXCEPTIONS):
        if not waiting:
            return
        node, relation, parent = waiting.pop(0)
        yield Raised(
            type=node.type,
            message=node.message,
            frames=tuple(node.frames),
            relation=relation,
            parent=parent,
        )
        if node.before is not None and node.relation:
            waiting.append((node.before, node.relation, number))
        waiting += [(member, "member", number) for member in node.members]
