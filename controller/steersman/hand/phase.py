"""The command of a release: it outlives the hand that began it, and is not begun twice.

Its record, `phase.json` in the release's folder, says that it began and how it ended; it is
durable before anybody is told. What it writes is in `phase.log` beside it. Until it ends, what
keeps the command says that it runs: a transient unit on systemd, elsewhere a guard (guard.py)
that holds a lock. A command whose record says that it began and which nobody keeps any more was
lost with a reboot: whether it did its work is not known, so it is not begun again unless its
manifest says that it may.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading

from . import execs, files
from .logfiles import Reader
from .oneoffs import GRACE, Unit, exit_code_of, identity
from .place import Place, tail
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional

    Record = Dict[str, Any]

RECORD = "phase.json"
LOCK = "phase.lock"
# A file and not the journal: that drops lines of who writes much, and has the last ones late.
LOG = "phase.log"
POLL = 0.1
# Characters of a line that are told.
LONGEST = 4000
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def attend(
    place: Place, supervisor: Any, stop: threading.Event, asked: Dict[str, Any]
) -> Iterator[Dict[str, Any]]:
    """Begin the command unless it began before, and see it through to its end.

    `asked` is app, release, argv, user, envs, sandbox (as for `exec`), timeout (in seconds) and
    idempotent: whether one that was lost is begun again. Yields {"line"} for each that it wrote
    since it began, then {"exit", "timed_out"}; exit is None for one that was lost. `stop` ends the
    watching only.
    """
    kind = Transient if execs.has_units(place) else Guarded
    phase = kind(place, supervisor, asked)
    while phase.has_running_sibling():
        _pause(stop)
    if not phase.is_begun() or (asked["idempotent"] and phase.is_lost()):
        phase.begin()
    log = Reader(phase.log, None)
    while (ended := phase.ended()) is None:
        yield from ({"line": line[:LONGEST]} for line in log.read())
        _pause(stop)
    # Whatever wrote is dead by now, so this is all of it.
    yield from ({"line": line[:LONGEST]} for line in log.read_to_end())
    yield ended


def _pause(stop: threading.Event) -> None:
    if stop.wait(POLL):
        raise Refused("cancelled", "nobody watches the release command any more; it goes on")


def boot_id() -> str:
    with open(BOOT_ID, encoding="ascii") as file:
        return file.read().strip()


class Phase:
    """What both ways of keeping the command share; `asked` is what the controller asks for."""

    def __init__(self, place: Place, supervisor: Any, asked: Dict[str, Any]) -> None:
        self._place = place
        self._supervisor = supervisor
        self._asked = asked
        self._app: str = asked["app"]
        self._folder = place.app(self._app, "releases", asked["release"])
        self.stem = "steersman-%s.release.g%s" % (self._app, asked["release"].partition("-")[0])
        self.log = os.path.join(self._folder, LOG)
        self._cwd = os.path.join(self._folder, "src")

    def ended(self) -> Optional[Dict[str, Any]]:
        """Return {"exit", "timed_out"} of one that began, exit None if lost; None while it runs."""
        raise NotImplementedError

    def is_lost(self) -> bool:
        ended = self.ended()
        return ended is not None and ended["exit"] is None

    def record(self) -> Optional[Record]:
        try:
            with open(os.path.join(self._folder, RECORD), "rb") as file:
                return json.loads(file.read())  # type: ignore[no-any-return]
        except FileNotFoundError:
            return None

    def _write(self, **record: Any) -> None:
        data = json.dumps({"boot": boot_id(), **record}, sort_keys=True).encode()
        files.write_file(os.path.join(self._folder, RECORD), data, 0o644)

    def _begin_log(self) -> None:
        # It may tell anything: whoever opens it next keeps the mode.
        files.write_file(self.log, b"", 0o600)

    def _forget(self) -> None:
        files.remove(os.path.join(self._folder, RECORD))

    def _argv(self, env: Dict[str, str]) -> List[str]:
        argv: List[str] = self._asked["argv"]
        return [execs.find_program(argv[0], env["PATH"], self._cwd), *argv[1:]]


def _siblings(app: str) -> str:
    """Return what fits the units of an app's release commands, and no process's."""
    return r"steersman-%s\.release\.g\d+\.service" % re.escape(app)


class Transient(Phase):
    """On systemd: a unit, which ends by its cgroup at its timeout, even with nobody there."""

    def is_begun(self) -> bool:
        """Whether it was; without a reboot since, a unit that is not there never was."""
        record = self.record()
        if record is None:
            return False
        return (
            "exit" in record or record["boot"] != boot_id() or self._result(self.stem) is not None
        )

    def has_running_sibling(self) -> bool:
        """Whether an older release's command runs; one that ended is forgotten."""
        for name in self._supervisor.seen():
            stem = name[: -len(".service")]
            if stem == self.stem or not re.fullmatch(_siblings(self._app), name):
                continue
            result = self._result(stem)
            if result is not None and result["exit"] is None:
                return True
            Unit(self._supervisor, name).end()
        return False

    def begin(self) -> None:
        env = execs.environment(self._place, self._app, self._asked["release"], [])
        argv = self._argv(env)
        paths = [self._place.app(self._app, "env", name) for name in self._asked["envs"]]
        properties = [
            *identity(self._asked["user"], self._cwd, paths),
            *self._asked["sandbox"],
            ("RuntimeMaxSec", "%.3f" % self._asked["timeout"]),
            ("StandardInput", "null"),
            ("StandardOutput", "append:" + self.log),
            ("StandardError", "append:" + self.log),
        ]
        self._begin_log()
        self._write()
        try:
            Unit(self._supervisor, self.stem + ".service").start(argv, properties, env, None)
        except Refused:
            self._forget()
            raise

    def ended(self) -> Optional[Dict[str, Any]]:
        record = self.record() or {}
        if "exit" not in record:
            result = self._result(self.stem)
            if result is None:
                return {"exit": None, "timed_out": False}
            if result["exit"] is None or self._supervisor.is_going_down():
                # A shutdown ends it as it likes: nobody is to take that for what it did.
                return None
            record = {**record, **result}
            self._write(exit=record["exit"], timed_out=record["timed_out"])
        # Only now may its keeper forget how it ended.
        Unit(self._supervisor, self.stem + ".service").end()
        return {"exit": record["exit"], "timed_out": record["timed_out"]}

    def _result(self, stem: str) -> Optional[Dict[str, Any]]:
        """Return {"exit", "timed_out"} of a unit, exit None while it runs; None without it."""
        seen = self._supervisor.result(stem + ".service")
        if seen is None or seen["sub"] == "dead":
            return None
        return {"exit": exit_code_of(seen), "timed_out": seen["result"] == "timeout"}


class Guarded(Phase):
    """Elsewhere: a guard in a session of its own, which also enforces the timeout."""

    def is_begun(self) -> bool:
        return self.record() is not None

    def has_running_sibling(self) -> bool:
        releases = self._place.app(self._app, "releases")
        mine = os.path.basename(self._folder)
        others = [name for name in files.entries(releases) if name != mine]
        return any(_is_locked(os.path.join(releases, name, LOCK)) for name in others)

    def begin(self) -> None:
        import subprocess
        import sys

        asked = self._asked
        env = execs.environment(self._place, self._app, asked["release"], asked["envs"])
        work = {
            "argv": self._argv(env),
            "env": env,
            "cwd": self._cwd,
            "user": "" if self._place.scope == "user" else asked["user"],
            "timeout": asked["timeout"],
            "grace": GRACE,
            "log": self.log,
            "lock": os.path.join(self._folder, LOCK),
            "record": os.path.join(self._folder, RECORD),
            "boot": boot_id(),
        }
        self._begin_log()
        source = __loader__.get_source(__name__.rpartition(".")[0] + ".guard")  # type: ignore[name-defined]
        # Once it has the lock and wrote the record it closes its output: words are complaints.
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # The variables hold secrets: arguments are there for everybody to see.
        answer, _ = guard.communicate(json.dumps(work).encode())
        if guard.returncode or answer:
            said = tail(answer.decode("utf-8", "replace"), 3)
            raise Refused("command-failed", "the release command has no guard: %s" % said)

    def ended(self) -> Optional[Dict[str, Any]]:
        if _is_locked(os.path.join(self._folder, LOCK)):
            return None
        record = self.record() or {}
        return {"exit": record.get("exit"), "timed_out": record.get("timed_out", False)}


def _is_locked(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
