"""systemd as the supervisor: asked over D-Bus, told by `systemctl`."""

from __future__ import annotations

import json
import threading
import time

from . import dbus
from .place import CHILD_ENV, Place, must, run
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, TypeVar

    Answer = TypeVar("Answer")

PATTERN = "steersman-*"
# What stands in a signal about a unit of ours, about the proxy's, or about all of them.
CHANGES = (b"steersman", b"Reloading", b"nginx_2eservice")
LIVING = ("active", "activating", "deactivating", "reloading")


class Systemd:
    """The units whose names start with `steersman-`."""

    def __init__(self, place: Place) -> None:
        self._bus: Optional[dbus.Bus] = None
        self._signals: Optional[dbus.Signals] = None
        # Gates and observations ask from threads of their own, on this one connection.
        self._asking = threading.Lock()

    def seen(self) -> Dict[str, List[Any]]:
        """Return {unit: [active state, sub state, main pid]} for every loaded unit of ours.

        The pid is that of an instance which runs; it is 0 for everything else.
        """

        def ask(bus: dbus.Bus) -> Dict[str, List[Any]]:
            return {
                name: [active, sub, _main_pid(bus, name, sub, path)]
                for name, active, sub, path in bus.units(PATTERN)
            }

        return self._ask(ask)

    def state(self, unit: str) -> str:
        """Return the active state of any unit, or "absent"."""
        found = self._ask(lambda bus: bus.units(unit))
        return found[0][1] if found else "absent"

    def is_going_down(self) -> bool:
        """Return whether units end because the host does."""
        return self._ask(lambda bus: bus.is_stopping())

    def quiet(self) -> bool:
        """Return whether no unit of ours changed since the last call, as far as is known."""
        try:
            if self._signals is None:
                self._signals = dbus.Signals()
                return False
            return self._signals.quiet(CHANGES)
        except OSError:
            self._signals = None
            return False

    def signals(self) -> Optional[dbus.Signals]:
        """Return a connection of the caller's own on which the manager tells what changes."""
        return dbus.Signals()

    def details(self, names: Sequence[str]) -> Dict[str, Dict[str, object]]:
        """Return state, restart count, main pid, result and so on of the named services.

        `ran` says for how many seconds a service that is active has been so.
        """

        def ask(bus: dbus.Bus) -> Dict[str, Dict[str, object]]:
            unit, service = ("org.freedesktop.systemd1." + kind for kind in ("Unit", "Service"))
            wanted, now = set(names), time.monotonic()
            return {
                name: {
                    "active": active,
                    "sub": sub,
                    "restarts": bus.property(path, service, "NRestarts"),
                    "pid": bus.property(path, service, "MainPID"),
                    "result": bus.property(path, service, "Result"),
                    "memory": bus.property(path, service, "MemoryCurrent"),
                    "since": bus.property(path, unit, "ActiveEnterTimestamp"),
                    "ran": now - bus.property(path, unit, "ActiveEnterTimestampMonotonic") / 1e6,
                }
                for name, active, sub, path in bus.units(PATTERN)
                if name in wanted
            }

        return self._ask(ask)

    def timers(self, names: Sequence[str]) -> Dict[str, int]:
        """Return when each of the named timers fires next, in microseconds since 1970."""

        def ask(bus: dbus.Bus) -> Dict[str, int]:
            timer, wanted = "org.freedesktop.systemd1.Timer", set(names)
            return {
                name: int(bus.property(path, timer, "NextElapseUSecRealtime"))
                for name, active, _, path in bus.units(PATTERN)
                if name in wanted and active == "active"
            }

        return self._ask(ask)

    def result(self, name: str) -> Optional[Dict[str, object]]:
        """Return how a service goes or how it ended; None for one that is not loaded."""

        def ask(bus: dbus.Bus) -> Optional[Dict[str, object]]:
            service = "org.freedesktop.systemd1.Service"
            for _, active, sub, path in bus.units(name):
                return {
                    "active": active,
                    "sub": sub,
                    "code": bus.property(path, service, "ExecMainCode"),
                    "status": bus.property(path, service, "ExecMainStatus"),
                    "result": bus.property(path, service, "Result"),
                }
            return None

        return self._ask(ask)

    def start(self, names: Sequence[str]) -> None:
        self._forgive(names)
        # A unit that cannot start is the gate's to judge: it has the reason and the log.
        code, _ = run(["systemctl", "start", "--", *names], timeout=120)
        if code != 0 and not self.seen().keys() >= set(names):
            # New units are read as they start, unless systemd still believes that they are absent.
            self.reload()
            run(["systemctl", "start", "--", *names], timeout=120)

    def stop(self, names: Sequence[str], timeout: float) -> None:
        argv = ["systemctl", "stop", "--", *names]
        code, _ = run(argv, timeout=timeout + 30)
        # One that went away by itself is as good as stopped, though systemctl calls it a failure.
        if code != 0 and any(self.seen().get(name, ["gone"])[0] in LIVING for name in names):
            must(argv, timeout=timeout + 30)
        self._forgive(names)

    def _forgive(self, names: Sequence[str]) -> None:
        """Let those that failed begin anew; asking costs less than a child that finds nothing."""
        seen = self.seen()
        failed = [name for name in names if seen.get(name, [""])[0] == "failed"]
        if failed:
            run(["systemctl", "reset-failed", "--", *failed])

    def reload(self) -> None:
        must(["systemctl", "daemon-reload"])

    def tail(self, names: Sequence[str], count: int) -> List[str]:
        """Return the last `count` lines the units wrote, or what the supervisor said of them."""
        lines = self._journal(names, count, "_SYSTEMD_UNIT")
        return lines or self._journal(names, count, "UNIT")

    def _journal(self, names: Sequence[str], count: int, field: str) -> List[str]:
        matches: List[str] = []
        for name in names:
            matches += ["%s=%s" % (field, name)]
        argv = ["journalctl", "--quiet", "--no-pager", "--output=cat", "-n", str(count)]
        _, out = run([*argv, *matches])
        return out.splitlines()[-count:]

    def follow(
        self,
        pattern: str,
        since: str,
        lines: int,
        follow: bool,
        stop: threading.Event,
        invocations: Sequence[str] = (),
        after: "Optional[Dict[str, Any]]" = None,
    ) -> Iterator[Dict[str, object]]:
        """Yield {"t": seconds, "unit", "line", "priority", "system", "at"}, oldest first.

        `pattern` is `steersman-<app>.<process>.g*`; `system` tells systemd's words of a unit from
        the unit's own. Generations that come later are followed too. With `invocations`, only
        what was written in those runs of a unit. `after`, the `at` of a line, has all behind that
        told, whatever `since` and `lines` say.
        """
        import subprocess

        from .journal import is_cursor

        argv = ["journalctl", "--quiet", "--no-pager", "--output=json"]
        argv += ["--output-fields=_SYSTEMD_UNIT,UNIT,MESSAGE,PRIORITY,__REALTIME_TIMESTAMP"]
        cursor = str((after or {}).get("cursor") or "")
        if is_cursor(cursor):
            argv += ["-n", "all", "--after-cursor=" + cursor]
        else:
            argv += ["-n", str(lines)] if lines >= 0 else ["-n", "all"]
            argv += ["--since", since] if since else []
        if follow:
            argv += ["--follow"]
        argv += _runs(invocations) if invocations else self._matches(pattern)
        with subprocess.Popen(
            argv, env=CHILD_ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as child:
            # The reader blocks on the pipe; ending the child is what wakes it.
            killer = threading.Thread(target=_end_with, args=(stop, child), daemon=True)
            killer.start()
            for raw in child.stdout or ():
                yield _entry(json.loads(raw))
            stop.set()

    def _matches(self, pattern: str) -> List[str]:
        """Return what to ask the journal for.

        `--unit` fixes the units when it starts; a process's identifier outlives its generations.
        """
        import fnmatch

        stem = pattern[: -len(".g*")] if pattern.endswith(".g*") else pattern
        matches = ["SYSLOG_IDENTIFIER=" + stem]
        for unit in fnmatch.filter(self.seen(), stem + ".g*@*.service"):
            if "-relay@" not in unit:
                matches += ["+", "_SYSTEMD_UNIT=" + unit, "+", "UNIT=" + unit, "_PID=1"]
        return matches

    def _ask(self, question: Callable[[dbus.Bus], Answer]) -> Answer:
        with self._asking:
            try:
                if self._bus is None:
                    self._bus = dbus.Bus()
                return question(self._bus)
            except OSError:
                self._bus = None
            try:
                # A daemon-reexec closes the connection; one fresh try tells it from a real fault.
                self._bus = dbus.Bus()
                return question(self._bus)
            except OSError as error:
                self._bus = None
                raise Refused("supervisor", "systemd does not answer: %s" % error)


def _main_pid(bus: dbus.Bus, name: str, sub: str, path: str) -> int:
    if sub != "running" or "@" not in name or "-relay@" in name:
        return 0
    try:
        return int(bus.property(path, "org.freedesktop.systemd1.Service", "MainPID"))
    except dbus.Answered:
        return 0  # it went away since it was listed


def _runs(invocations: Sequence[str]) -> List[str]:
    matches: List[str] = []
    for each in invocations:
        matches += ["+"] if matches else []
        matches += ["_SYSTEMD_INVOCATION_ID=" + each, "+", "INVOCATION_ID=" + each, "_PID=1"]
    return matches


def _end_with(stop: threading.Event, child: "subprocess.Popen[bytes]") -> None:
    stop.wait()
    child.terminate()


def _entry(record: "Dict[str, Any]") -> "Dict[str, object]":
    from .journal import priority_of, text_of

    return {
        "t": int(record["__REALTIME_TIMESTAMP"]) / 1e6,
        "unit": record.get("UNIT") or record.get("_SYSTEMD_UNIT") or "",
        "line": text_of(record.get("MESSAGE")),
        "priority": priority_of(record),
        "system": "UNIT" in record,
        "at": {"cursor": record["__CURSOR"]},
    }
