"""What makes two errors the same one: kinds, classes and the app's own functions.

Neither line numbers nor messages count: the first move with each release, the second hold ids.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from steersman.api.signals import ErrorKind, Exited, Frame, Raised

_LONGEST_TITLE = 200
_LAST_FRAMES = 3
_RELEASED = re.compile(
    r"/apps/(?P<app>[a-z0-9-]+)/(?:releases/(?P<number>\d{1,9})-[^/]+|builds/[^/]+)/src/(?P<file>.+)$"
)
_LIBRARY = re.compile(r".*/(?:site-packages|dist-packages|lib/python\d+(?:\.\d+)*)/(?P<file>.+)$")
# Releases, pids, addresses and the like, in sentences of our own.
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")


class Where(NamedTuple):
    """A file as people know it. `release` is 0 where its path does not pin one."""

    file: str
    is_in_app: bool
    release: int = 0


def where(file: str, app: str) -> Where:
    """Return a file relative to the app's source, or to the library that it is of."""
    library = _LIBRARY.match(file)
    if library is not None:
        return Where(library["file"], is_in_app=False)
    found = _RELEASED.search(file)
    if found is not None and found["app"] == app:
        return Where(found["file"], is_in_app=True, release=int(found["number"] or 0))
    # A process begins in its release's folder, so that a relative path is of the app.
    return Where(file, is_in_app=not file.startswith(("<", "/")) and file != "")


def placed(exceptions: Iterable[Raised], app: str) -> tuple[Raised, ...]:
    """Return the exceptions with their frames' files as `where` has them."""
    return tuple(
        replace(each, frames=tuple(_placed(frame, app) for frame in each.frames))
        for each in exceptions
    )


def _placed(frame: Frame, app: str) -> Frame:
    found = where(frame.file, app)
    return replace(frame, file=found.file, is_in_app=found.is_in_app)


def release_of(exceptions: Iterable[Raised], app: str) -> int:
    """Return the release that the files' paths pin, 0 if none does."""
    frames = (frame for each in exceptions for frame in each.frames)
    return next((found.release for f in frames if (found := where(f.file, app)).release), 0)


def title_of(exceptions: Sequence[Raised]) -> str:
    """Return one line that says what was raised."""
    seen = exceptions[0]
    message = seen.message.partition("\n")[0]
    if seen.type:
        return _short(f"{seen.type}: {message}" if message else seen.type)
    return _short(f"a traceback without its end, in {seen.frames[-1].function or 'a module'}")


def title_of_exit(exited: Exited, *, is_loop: bool) -> str:
    """Return one line that says how a process ended."""
    how = f"by signal {exited.signal}" if exited.signal else f"with exit code {exited.code}"
    if exited.is_oom:
        how = "because memory ran out"
    core = ", and left a core" if exited.has_core else ""
    again = "ends again and again" if is_loop else "ended"
    return _short(f"{exited.origin.process or 'process'} {again} {how}{core}")


def fingerprint_of(app: str, exceptions: Sequence[Raised]) -> str:
    """Return the same text for the same error; frames are to be `placed`."""
    parts: list[str] = ["exception", app]
    members: set[str] = set()
    for each in exceptions:
        text = "\n".join((each.type, *_marks(each.frames)))
        # The members of a group come in any order, and any number.
        if each.relation == "member":
            members.add(text)
        else:
            parts.append(text)
    return digest(*parts, *sorted(members))


def fingerprint_of_exit(exited: Exited) -> str:
    """Return the same text for a crash and for the loop that it becomes."""
    origin = exited.origin
    how = "oom" if exited.is_oom else exited.signal or str(exited.code)
    return digest("crash", origin.app, origin.process, how)


def fingerprint_of_trouble(kind: ErrorKind, about: str, sentence: str) -> str:
    """Return the same text for the same trouble of ours with the object `about`."""
    return digest(kind, about, _NUMBERS.sub("0", sentence))


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def _marks(frames: Sequence[Frame]) -> Iterator[str]:
    """Yield what counts of a stack: the app's own functions, or its end if it has none."""
    own = [frame for frame in frames if frame.is_in_app] or frames[-_LAST_FRAMES:]
    last = ""
    for frame in own:
        mark = f"{frame.file}:{frame.function}"
        # However deep a recursion went, it is the same.
        if mark != last:
            yield mark
        last = mark


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TITLE else text[: _LONGEST_TITLE - 1] + "…"
