"""What apps and their jobs write, and how their processes end: systemd's journal, followed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time

from .place import CHILD_ENV

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Set

    from .place import Place

    Message = Dict[str, Any]
    Record = Dict[str, Any]

CHUNK = 1 << 16
# A line of an app may be as long as it likes; so much of it is passed on.
LONGEST = 1 << 14
# One record of the journal, as JSON: what is longer (an app can write 64 MB at once) is left out.
LONGEST_RECORD = 1 << 20
FIELDS = "_PID,_COMM,MESSAGE,PRIORITY,MESSAGE_ID,UNIT,_SYSTEMD_UNIT,EXIT_CODE,EXIT_STATUS"
# systemd's catalogue (sd-messages.h).
STARTING, STARTED = "7d4958e842da4a758f6c1cdc7b36dcc5", "39f53479d3a045ac8e11786248231fbf"
STOPPING, ENDED = "de5b426a63be47a7b6ac3eaac82e2f6f", "7ad2d189f7e94e70a38c781354912448"
FAILED, EXITED = "d9b373ed55a64feb8242e02dbe79a49c", "98e322203f7a4ed290d09fe03c09fe15"
OOM = "fe6faa94e7774663a0da52717891d8ef"
TOLD = (STARTING, STARTED, STOPPING, ENDED, FAILED, EXITED, OOM)
MOST_UNITS, MOST_UNDER_WAY = 10000, 1000
# A file of the same tick may come after a listing, and leave the folder's time as it was.
TICK = 1.0
_CURSOR = re.compile(r"[a-z0-9=;]{1,400}")
_UNIT_FILE = re.compile(r"(steersman-[a-z0-9-]+[._][a-z0-9-]+)(?:\.g\d+)?@?\.service")
_INSTANCE = re.compile(r"steersman-[a-z0-9-]+\.[a-z0-9-]+\.g\d+@\d+\.service")


class Journal:
    """A source for `listen`: follows from settings["at"], what `positions` was, or from now on."""

    every = 2.0

    def __init__(self, place: "Place", settings: "Dict[str, Any]") -> None:
        self._units = place.units
        self._is_user = place.scope == "user"
        # Fields with a _ are the journal's own: no app can write them.
        self._manager = ("_COMM", "systemd") if self._is_user else ("_PID", "1")
        at = settings.get("at")
        at = at if isinstance(at, dict) else {}
        cursor = str(at.get("cursor") or "")
        self._cursor = cursor if is_cursor(cursor) else ""
        self._since = float(at.get("since") or time.time())
        self._ends = Ends(at.get("ends"))
        self._names: "Set[str]" = set()
        self._listed = -1
        self._child: "subprocess.Popen[bytes] | None" = None
        self._rest = b""
        self._is_skipping = False

    @property
    def fds(self) -> "List[int]":
        return [] if self._child is None else [self._child.stdout.fileno()]  # type: ignore[union-attr]

    @property
    def positions(self) -> "Dict[str, Any]":
        """Return the last record that was read, and what has to be known of those before it."""
        return {"cursor": self._cursor, "since": self._since, "ends": self._ends.known()}

    def take(self) -> "Iterator[Message]":
        """Yield what is there; another app's first unit has the journal asked anew."""
        data = self._read()
        # Behind the reading: what stands before `data` is of names known by now. With more of them
        # `data` lacks their lines, and is read again from the last record that was told.
        if self._has_more_names() or self._child is None:
            self._follow()
            return
        for line in self._whole(data):
            record = json.loads(line)
            self._cursor = record["__CURSOR"]
            yield from self._told(record)

    def _has_more_names(self) -> bool:
        listed = os.stat(self._units).st_mtime_ns
        if listed == self._listed:
            return False
        self._listed = listed if time.time() - listed / 1e9 > TICK else -1
        found = (_UNIT_FILE.fullmatch(name) for name in os.listdir(self._units))
        names = {each[1] for each in found if each is not None} - self._names
        self._names |= names
        return bool(names)

    def _follow(self) -> None:
        self._end()
        argv = ["journalctl", "--quiet", "--no-pager", "--all", "--follow", "--lines=all"]
        argv += ["--output=json", "--output-fields=" + FIELDS, *(["--user"] * self._is_user)]
        at = self._cursor
        argv += ["--after-cursor=" + at] if at else ["--since=@%.6f" % self._since]
        argv += ["SYSLOG_IDENTIFIER=" + name for name in sorted(self._names)]
        argv += ["+"] * bool(self._names)
        argv += ["=".join(self._manager), *("MESSAGE_ID=" + each for each in TOLD)]
        self._child = subprocess.Popen(
            argv, env=CHILD_ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        os.set_blocking(self.fds[0], False)

    def _read(self) -> bytes:
        if self._child is None:
            return b""
        try:
            data = os.read(self.fds[0], CHUNK)
        except BlockingIOError:
            return b""
        if not data:
            raise OSError(
                "journalctl has ended; `journalctl --verify` says if the journal is broken"
            )
        return data

    def _whole(self, data: bytes) -> "List[bytes]":
        """Return the records that `data` completes, but for those that are too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines and self._is_skipping:
            self._is_skipping = False
            del lines[0]
        if len(self._rest) > LONGEST_RECORD:
            self._is_skipping = True
        if self._is_skipping:
            self._rest = b""
        return lines

    def _told(self, record: "Record") -> "Iterator[Message]":
        at = int(record["__REALTIME_TIMESTAMP"]) / 1e6
        field, manager = self._manager
        if record.get(field) == manager:
            yield from self._ends.told(record, at)
            return
        unit = str(record.get("_SYSTEMD_UNIT", ""))
        if unit.startswith("steersman-"):
            yield {"log": [unit, at, text_of(record.get("MESSAGE")), priority_of(record)]}

    def _end(self) -> None:
        child, self._child, self._rest = self._child, None, b""
        self._is_skipping = False
        if child is not None:
            child.terminate()
            child.stdout.close()  # type: ignore[union-attr]
            child.wait()

    def close(self) -> None:
        self._end()


class Ends:
    """Tells an instance that ended by itself from one that was asked to.

    `known` is what another had been told when it stopped reading, so that one who goes on there
    takes no stop for a crash.
    """

    def __init__(self, known: "Any" = None) -> None:
        known = known if isinstance(known, dict) else {}
        self._stopping: "Set[str]" = set(known.get("stopping") or ())
        self._ends: "Dict[str, Dict[str, Any]]" = dict(known.get("ends") or {})
        self._counts: "Dict[str, int]" = {}

    def known(self) -> "Dict[str, Any]":
        """Return what is under way: units that are stopping, and how far others have ended."""
        if len(self._stopping) + len(self._ends) > MOST_UNDER_WAY:
            self._stopping.clear()
            self._ends.clear()
        return {"stopping": sorted(self._stopping), "ends": self._ends}

    def told(self, record: "Record", at: float) -> "Iterator[Message]":
        unit, what = str(record.get("UNIT")), record.get("MESSAGE_ID")
        if not _INSTANCE.fullmatch(unit):
            return
        if what == STOPPING:
            self._stopping.add(unit)
        elif what in (STARTING, STARTED):
            self._stopping.discard(unit)
            self._ends.pop(unit, None)
        elif what == EXITED:
            self._end_of(unit).update(_how(record))
        elif what == OOM:
            self._end_of(unit)["oom"] = True
        elif what in (ENDED, FAILED):
            yield from self._ended(unit, at)

    def _end_of(self, unit: str) -> "Dict[str, Any]":
        return self._ends.setdefault(unit, {})

    def _ended(self, unit: str, at: float) -> "Iterator[Message]":
        end = self._ends.pop(unit, {})
        if unit in self._stopping:
            self._stopping.discard(unit)
            return
        if len(self._counts) > MOST_UNITS:
            self._counts.clear()
        count = self._counts[unit] = self._counts.get(unit, 0) + 1
        end = end if "code" in end or "signal" in end else {"code": 0, **end}
        yield {"exit": {"unit": unit, "t": at, "count": count, **end}}


def _how(record: "Record") -> "Dict[str, Any]":
    how, status = record.get("EXIT_CODE"), int(record.get("EXIT_STATUS") or 0)
    if how == "exited":
        return {"code": status}
    try:
        name = signal.Signals(status).name
    except ValueError:
        name = "SIG%d" % status
    return {"signal": name, "core": how == "dumped"}


def text_of(message: "Any") -> str:
    """Return a line as text: the journal gives bytes that are none as numbers, and may give two."""
    if isinstance(message, list) and message and isinstance(message[0], int):
        text = bytes(message).decode("utf-8", "backslashreplace")
    elif isinstance(message, list):
        text = " ".join(str(each) for each in message)
    else:
        text = str(message or "")
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def is_cursor(text: str) -> bool:
    return _CURSOR.fullmatch(text) is not None


def priority_of(record: "Record") -> int:
    """Return the syslog priority of a line, info where it has none."""
    said = str(record.get("PRIORITY", ""))
    return int(said) if said.isdigit() else 6
