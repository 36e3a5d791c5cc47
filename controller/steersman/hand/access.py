"""Requests by route, from the access logs of apps: counted on the host, told every few seconds."""

from __future__ import annotations

import os
import time

from . import accesslog, nginx
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Set, Tuple

    from .accesslog import Answer

    Message = Dict[str, Any]

EVERY = 1.0
TOLD_EVERY = 5.0
QUANTILES = (0.5, 0.9, 0.99)
# Of one log in one turn: a burst is read in several, and no line is longer than this.
CHUNK = 1 << 20
# An app may answer with any number: these many of a route have a label of their own.
CODES = 24
OTHER = "other"


class Access:
    """A source for `listen`. `settings` is {"logs": {app: {"path", "routes": [[host, path]]}},
    "positions": what `positions` was once}; a log without a position is followed from its end.

    Labels are the app, its own routes and a bounded number of codes, whatever clients ask for.
    """

    def __init__(self, settings: Dict[str, Any]) -> None:
        self.fds: List[int] = []
        self.every = EVERY
        known = settings.get("positions") or {}
        self._logs = [
            Log(app, told["path"], told["routes"], known.get(app))
            for app, told in settings["logs"].items()
        ]
        self._next = time.monotonic() + TOLD_EVERY

    def take(self) -> List[Message]:
        """Read what was answered since the last time; return samples when it is time for them."""
        for log in self._logs:
            log.read()
        if time.monotonic() < self._next:
            return []
        self._next = time.monotonic() + TOLD_EVERY
        now = time.time()
        said: List[Message] = [
            # A counter's 0 is of before: only then is what it counted since a growth.
            {"sample": list(sample), "t": now if sample[1] else now - TOLD_EVERY}
            for log in self._logs
            for sample in log.samples()
        ]
        return said + list(self._keep_small())

    def _keep_small(self) -> Iterator[Message]:
        for log in self._logs:
            try:
                nginx.keep_small(log.tail.path)
            except (OSError, Refused) as error:
                yield {"lack": "%s cannot be kept small: %s" % (log.tail.path, error)}

    @property
    def positions(self) -> Dict[str, Tuple[int, int]]:
        """Return where each log was read to: another source that begins there misses nothing."""
        return {log.app: log.tail.position for log in self._logs}

    def close(self) -> None:
        for log in self._logs:
            log.tail.close()


class Log:
    """An app's access log, and the counts of its routes since it is followed."""

    def __init__(
        self, app: str, path: str, routes: List[List[str]], position: Optional[Tuple[int, int]]
    ) -> None:
        self.app = app
        self.tail = Tail(path, position)
        self._names = {host + prefix for host, prefix in routes}
        self._answer_of = accesslog.reader(routes)
        self._routes: Dict[str, Route] = {}

    def read(self) -> None:
        for line in self.tail.lines():
            answer = self._answer_of(line)
            if answer is not None:
                name = answer.route if answer.route in self._names else OTHER
                if name not in self._routes:
                    self._routes[name] = Route({"app": self.app, "route": name})
                self._routes[name].add(answer)

    def samples(self) -> Iterator[Tuple[Any, ...]]:
        for route in self._routes.values():
            yield from route.samples()


class Route:
    """Counters of one route; latencies are of the time since they were last told."""

    def __init__(self, labels: Dict[str, str]) -> None:
        self._labels = labels
        self._codes: Dict[str, int] = {}
        self._changed: Set[str] = set()
        self._told: Set[str] = set()
        self._sent = 0
        self._seconds = 0.0
        self._count = 0
        self._latency: Dict[int, int] = {}

    def add(self, answer: Answer) -> None:
        code = str(answer.status)
        if code not in self._codes and len(self._codes) >= CODES:
            code = OTHER
        self._codes[code] = self._codes.get(code, 0) + 1
        self._changed.add(code)
        self._sent += answer.sent
        if answer.status != 101:  # a WebSocket: it took as long as it lived
            self._seconds += answer.seconds
            self._count += 1
            bucket = accesslog.bucket_of(answer.seconds)
            self._latency[bucket] = self._latency.get(bucket, 0) + 1

    def samples(self) -> Iterator[Tuple[Any, ...]]:
        """Yield [name, value, labels, kind] of what has changed since the last time."""
        for code in sorted(self._changed):
            labels = {**self._labels, "code": code}
            if code not in self._told:
                # Or what the first of a kind counts would not be seen as growth.
                yield "steersman_route_requests_total", 0, labels, "counter"
            yield "steersman_route_requests_total", self._codes[code], labels, "counter"
        self._told |= self._changed
        if self._changed:
            yield "steersman_route_sent_bytes_total", self._sent, self._labels, "counter"
            yield "steersman_route_latency_seconds_sum", self._seconds, self._labels, "counter"
            yield "steersman_route_latency_seconds_count", self._count, self._labels, "counter"
        for share in QUANTILES if self._latency else ():
            labels = {**self._labels, "quantile": "%g" % share}
            value = accesslog.quantile(self._latency, share)
            yield "steersman_route_latency_seconds", value, labels, "gauge"
        self._changed.clear()
        self._latency.clear()


class Tail:
    """The whole lines that are written to a file, over its rotations.

    Who writes goes on in a file that was moved away until it is told to open the new one: the
    old one is left when nothing came to it for a whole turn in which there was a new one.
    """

    def __init__(self, path: str, position: Optional[Tuple[int, int]]) -> None:
        self.path = path
        self._file = self._opened()
        self._is_left = False
        self._rest = b""
        if self._file is not None:
            inode, at = position or (self._inode(), os.fstat(self._file.fileno()).st_size)
            # One that is not where it was has been rotated: all of the new one is new.
            self._file.seek(at if inode == self._inode() else 0)

    @property
    def position(self) -> Tuple[int, int]:
        if self._file is None:
            return 0, 0
        return self._inode(), self._file.tell() - len(self._rest)

    def _inode(self) -> int:
        return os.fstat(self._file.fileno()).st_ino if self._file is not None else 0

    def lines(self) -> List[bytes]:
        self._file = self._file or self._opened()
        if self._file is None:
            return []
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # it was cut short where it lies
            self._rest = b""
        data = self._file.read(CHUNK)
        if not data:
            self._leave_if_rotated()
            return []
        self._is_left = False
        lines = (self._rest + data).split(b"\n")
        self._rest = lines[-1] if len(lines[-1]) <= CHUNK else b""
        return lines[:-1]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> Optional[BinaryIO]:
        try:
            return open(self.path, "rb", buffering=0)
        except FileNotFoundError:
            return None

    def _leave_if_rotated(self) -> None:
        try:
            is_same = os.stat(self.path).st_ino == self._inode()
        except FileNotFoundError:
            return  # moved away, and whoever writes was not told yet
        if not is_same and self._is_left:
            self.close()
            self._rest = b""
            self._file = self._opened()
        self._is_left = not is_same and not self._is_left
