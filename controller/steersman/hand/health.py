"""Is a generation fit to serve, and has an old one emptied? Judged on private sockets."""

from __future__ import annotations

import math
import os
import socket
import stat
import time
from collections import namedtuple

from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Any, Dict, List, Sequence

LISTENING = "00010000"
# Asked where no health check is: nothing there costs the app a page, or has an effect.
ANYTHING = "OPTIONS /.well-known/steersman"

# Two workers' tracebacks, and then what their server has to say of its own end, must fit.
LAST_LINES = 60
# Seconds between two looks whether a host still goes down.
GOING_DOWN = 0.5


class Verdict(namedtuple("Verdict", ("wrong", "answered"), defaults=(True,))):
    """`wrong` is "" for healthy; `answered` tells a bad answer from none yet."""

    __slots__ = ()
    wrong: str
    answered: bool


FINE = Verdict("")


def probe(check: Dict[str, Any]) -> Verdict:
    """Ask once.

    `check` holds `socket` (a path), `http` (a path that must answer well, or None when any HTTP
    answer will do), `host` (the Host header) and `timeout` (seconds). A connection alone proves
    nothing: the supervisor holds the socket, and takes it whatever became of the program.
    """
    timeout = float(check.get("timeout") or 1)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(timeout)
            client.connect(check["socket"])
            asked = "GET %s" % check["http"] if check.get("http") else ANYTHING
            request = (
                "%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: steersman-health\r\n"
                "X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
            ) % (asked, check.get("host") or "localhost")
            client.sendall(request.encode())
            return _verdict(_status_line(client, time.monotonic() + timeout), asked)
    except OSError as error:
        why = "%s: %s" % (os.path.basename(check["socket"]), error.strerror or error)
        return Verdict(why, answered=False)


def _status_line(client: socket.socket, deadline: float) -> bytes:
    data = b""
    while b"\r\n" not in data and len(data) < 4096:
        if time.monotonic() > deadline:
            raise socket.timeout("timed out")
        chunk = client.recv(4096)
        if not chunk:
            break
        data += chunk
    return data.split(b"\r\n", 1)[0]


def _verdict(line: bytes, asked: str) -> Verdict:
    words = line.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        return Verdict("%s: no HTTP answer" % asked, answered=False)
    if asked == ANYTHING or (words[1].isdigit() and 200 <= int(words[1]) < 400):
        return FINE
    return Verdict("%s answered %s" % (asked, words[1].decode("ascii", "replace")))


class Watch:
    """The processes of one generation, judged together.

    `processes`: [{"process", "units": [...], "check": {...} | None, "good": answers in a row}].
    """

    def __init__(self, supervisor: Any, processes: List[Dict[str, Any]]) -> None:
        self._supervisor = supervisor
        self._processes = processes
        self.units = [unit for process in processes for unit in process["units"]]
        self.look()
        self._restarts = {name: int(str(each["restarts"])) for name, each in self._now.items()}

    def _states(self) -> Dict[str, Dict[str, object]]:
        return dict(self._supervisor.details(self.units))

    def look(self) -> None:
        """See how the instances are now: what the next three questions are about."""
        self._now = self._states()

    def crashed(self, allowed: int) -> str:
        """Name the first instance that failed or came back more than `allowed` times."""
        for unit in self.units:
            state = self._now.get(unit)
            if state is None:
                return "%s is gone" % unit
            if state["active"] == "failed":
                return "%s failed (%s)" % (unit, state["result"])
            if int(str(state["restarts"])) - self._restarts.get(unit, 0) > allowed:
                return "%s exits again and again (%s)" % (unit, state["result"])
        return ""

    def waiting(self) -> str:
        """Name the first instance that is not running yet."""
        for unit in self.units:
            if unit not in self._now or self._now[unit]["active"] != "active":
                return "%s is %s" % (unit, self._now.get(unit, {}).get("sub", "absent"))
        return ""

    def ran(self) -> float:
        """Return for how many seconds all of them have been running."""
        return min([float(str(self._now[unit]["ran"])) for unit in self.units] or [math.inf])

    def judge(self, serving: bool = False) -> Verdict:
        """Probe each process once; return what is wrong with the first that is not well.

        One that serves and has no health check of its own is left alone: it may just be busy.
        """
        for process in self._processes:
            check = process.get("check")
            if check and (check.get("http") or not serving):
                wrong, answered = probe(check)
                if wrong:
                    return Verdict("%s: %s" % (process["process"], wrong), answered)
        return FINE

    def refuse(self, why: str, stop: threading.Event) -> None:
        """Say that the release is bad, unless the host goes down: that ends what is well, too."""
        if self._supervisor.is_going_down():
            # The link ends with the host, and whoever waits for this knows it by that.
            while self._supervisor.is_going_down():
                _pause(GOING_DOWN, stop)
            raise Refused("going-down", "the host was about to shut down, and did not")
        logs = list(self._supervisor.tail(self.units, LAST_LINES))
        raise Refused("unhealthy", why, logs=logs)

    @property
    def good_in_a_row(self) -> int:
        return max([int(process.get("good") or 1) for process in self._processes] or [1])


def gate(
    watch: Watch, deadline: float, settle: float, patience: float, stop: threading.Event
) -> None:
    """Return once every instance ran for `settle` s and answered well often enough; else refuse.

    The time that they took to boot counts, and so does what they ran before this was asked.
    An app may take until `deadline` to answer at all, but one that answers badly for `patience`
    seconds on end is not going to get better.
    """
    started = time.monotonic()
    good, bad_since = 0, None
    while True:
        watch.look()
        crash = watch.crashed(allowed=1)
        if crash:
            watch.refuse(crash, stop)
        waiting = watch.waiting()
        wrong, answered = Verdict(waiting, False) if waiting else watch.judge()
        now = time.monotonic()
        good = 0 if wrong else good + 1
        bad_since = (bad_since or now) if wrong and answered else None
        settled = not waiting and watch.ran() >= settle
        if good >= watch.good_in_a_row and settled:
            return
        late = now - started > deadline
        if late or (bad_since is not None and now - bad_since > patience):
            limit = deadline if late else patience
            why = wrong or "too few good answers in a row"
            watch.refuse("%s for %g s" % (why, limit), stop)
        # Good answers must not all fall into one lucky instant, and a slow boot costs nothing.
        left = settle - watch.ran() if good >= watch.good_in_a_row else 0.0
        _pause(max(0.05, left), stop)


def soak(watch: Watch, seconds: float, failures: int, stop: threading.Event) -> None:
    """Watch a serving generation for `seconds`; refuse at the first restart or bad streak."""
    end = time.monotonic() + seconds
    bad = 0
    while time.monotonic() < end:
        watch.look()
        crash = watch.crashed(allowed=0)
        wrong = watch.judge(serving=True).wrong
        bad = bad + 1 if wrong else 0
        if crash or bad >= failures:
            watch.refuse(crash or wrong, stop)
        _pause(0.1, stop)


def open_at(paths: Sequence[str]) -> Dict[str, int]:
    """Count open and queued connections of each listening socket bound at one of `paths`."""
    counts = dict.fromkeys(paths, 0)
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        next(table)
        for row in table:
            columns = row.split(None, 7)
            # An accepted or queued connection carries its listener's path but not its flag.
            path = columns[7].rstrip() if len(columns) == 8 else ""
            if path in counts and columns[3] != LISTENING:
                counts[path] += 1
    return counts


def drain(paths: Sequence[str], deadline: float, stop: threading.Event) -> int:
    """Wait until the sockets at `paths` have no connection; return how many were cut off."""
    end = time.monotonic() + deadline
    quiet = 0
    while quiet < 3:
        left = sum(open_at(paths).values())
        quiet = 0 if left else quiet + 1
        if left and time.monotonic() > end:
            return left
        _pause(0.05, stop)
    return 0


def _pause(seconds: float, stop: threading.Event) -> None:
    if stop.wait(seconds):
        raise Refused("cancelled", "whoever asked for this no longer waits for it")


def is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
