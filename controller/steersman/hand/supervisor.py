"""Supervisor as the supervisor: a unit is a program group of the same name.

Like systemd's daemon-reload, reading the configuration never touches what runs: a changed
program is replaced once it is stopped.
"""

from __future__ import annotations

import http.client
import os
import re
import threading
import time
import xmlrpc.client
from collections import namedtuple

from . import files, logfiles
from .launch import clear_stale
from .place import Place
from .supervisor_rpc import ALIVE, BACKOFF, EXITED, RUNNING, STARTING, STOPPED, STOPPING, call
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Set

    Info = Dict[str, Any]

PREFIX = "steersman-"
STATES = {
    STOPPED: "inactive",
    STARTING: "activating",
    RUNNING: "active",
    BACKOFF: "activating",
    STOPPING: "deactivating",
    EXITED: "activating",  # supervisord restarts it within a second
}
BAD_NAME = 10
# What startProcessGroup may say of a process: started, was already, or fails and is tried again.
FINE = (80, 60, 50, 40)
START_WAIT = 120.0
_UNIT = re.compile(r"steersman-([a-z0-9-]+)\.([a-z0-9-]+)\.(g\d+)(?:@(\d+)\.service|\.socket)")


# `since` is when this hand first saw the pid: supervisord itself tells whole seconds only.
Life = namedtuple("Life", ("pid", "restarts", "since"))


class Supervisor:
    """The programs whose names start with `steersman-`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._socket = place.extra["supervisor"]
        self._changing = threading.Lock()
        self._counting = threading.Lock()
        # supervisord counts no restarts: a process whose pid changed since we last looked did.
        self._lives: Dict[str, Life] = {}

    def seen(self) -> Dict[str, List[Any]]:
        """Return {unit: [active state, sub state, main pid]} for what of ours runs or could."""
        return {
            unit: [_state(infos), str(infos[0]["statename"]).lower(), int(infos[0]["pid"])]
            for unit, infos in self._units().items()
            # supervisord forgets a stopped program without a file only when it is told to.
            if _state(infos) != "inactive" or self._has_file(unit)
        }

    def _has_file(self, unit: str) -> bool:
        return os.path.exists(os.path.join(self._place.units, unit + ".conf"))

    def state(self, unit: str) -> str:
        """supervisord knows nothing of systemd's units."""
        return ""

    def is_going_down(self) -> bool:
        """Return whether programs end because supervisord does."""
        return self._call("getState")["statename"] in ("SHUTDOWN", "RESTARTING")

    def quiet(self) -> bool:
        """supervisord tells nobody what changes: every look must be a real one."""
        return False

    def signals(self) -> None:
        """There is nothing to listen to: whoever watches has to look."""

    def details(self, names: Sequence[str]) -> Dict[str, Dict[str, object]]:
        """Return state, restart count (since this hand began), main pid and result of units."""
        units = self._units()
        return {
            name: {
                "active": _state(units[name]),
                "sub": str(units[name][0]["statename"]).lower(),
                "restarts": sum(self._life(info).restarts for info in units[name]),
                "pid": units[name][0]["pid"],
                "result": _result(units[name][0]),
                "memory": _resident(units[name][0]["pid"]),
                "since": units[name][0]["start"] * 1000000,
                "ran": time.monotonic() - max(self._life(info).since for info in units[name]),
            }
            for name in names
            if name in units
        }

    def start(self, names: Sequence[str]) -> None:
        self._sync()
        self._wait(names, (STOPPING,), START_WAIT)
        for name in names:
            try:
                answers = self._call("startProcessGroup", name, False)
            except xmlrpc.client.Fault as fault:
                raise self._unknown(name, fault)
            for answer in answers:
                if answer["status"] not in FINE:
                    why = "supervisord cannot start %s: %s" % (name, answer["description"])
                    raise Refused("supervisor", why)

    def stop(self, names: Sequence[str], timeout: float) -> None:
        for name in names:
            try:
                self._call("stopProcessGroup", name, False)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != BAD_NAME:
                    raise self._unknown(name, fault)
        left = self._wait(names, ALIVE, timeout + 30)
        if left:
            raise Refused("timeout", "%s did not end within %g s" % (", ".join(left), timeout))
        for name in names:
            self._clean(name)
        self._sync()

    def reload(self) -> None:
        logfiles.trim(self._place, self._sync())

    def tail(self, names: Sequence[str], count: int) -> List[str]:
        """Return the last `count` lines the units wrote, or what the supervisor said of them."""
        lines = logfiles.tail(self._place, list(names), count)
        if lines:
            return lines
        units = self._units()
        said = [(name, units[name][0]["spawnerr"]) for name in names if name in units]
        return ["%s: %s" % (name, why) for name, why in said if why]

    def follow(
        self,
        pattern: str,
        since: str,
        lines: int,
        follow: bool,
        stop: threading.Event,
        after: Optional[Dict[str, Any]] = None,
    ) -> Iterator[Dict[str, object]]:
        """Yield {"t": seconds, "unit", "line", "at"}, oldest file first; see `logfiles`."""
        if after:
            return logfiles.go_on(self._place, pattern, logfiles.resumed(self._place, after), stop)
        return logfiles.follow(self._place, pattern, _seconds(since), lines, follow, stop)

    def _call(self, method: str, *args: Any) -> Any:
        try:
            return call(self._socket, method, *args)
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            why = "supervisord does not answer on %s: %s; start it" % (self._socket, error)
            raise Refused("supervisor", why)

    def _units(self) -> Dict[str, List[Info]]:
        found: Dict[str, List[Info]] = {}
        for info in self._call("getAllProcessInfo"):
            if info["group"].startswith(PREFIX) and not info["group"].endswith(".boot"):
                found.setdefault(info["group"], []).append(info)
        self._count(info for infos in found.values() for info in infos)
        return found

    def _life(self, info: Info) -> Life:
        return self._lives.get(_key(info)) or Life(0, 0, time.monotonic())

    def _count(self, infos: Iterable[Info]) -> None:
        with self._counting:
            lives: Dict[str, Life] = {}
            for info in infos:
                pid, known = int(info["pid"]), self._life(info)
                is_new = pid not in (0, known.pid)
                since = time.monotonic() if is_new else known.since
                again = is_new and known.pid != 0
                lives[_key(info)] = Life(pid or known.pid, known.restarts + again, since)
            self._lives = lives

    def _wait(self, names: Sequence[str], states: Sequence[int], timeout: float) -> List[str]:
        """Wait until no process of `names` is in `states`; return the units that still have one."""
        end = time.monotonic() + timeout
        while True:
            units = self._units()
            left = [
                name
                for name in names
                if any(info["state"] in states for info in units.get(name, ()))
            ]
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.05)

    def _sync(self) -> Set[str]:
        """Let supervisord know what the program files say; return the units it then knows."""
        with self._changing:
            try:
                ((added, changed, removed),) = self._call("reloadConfig")
                infos = self._call("getAllProcessInfo")
                alive = {info["group"] for info in infos if info["state"] in ALIVE}
                for name in self._ours((*removed, *changed), alive):
                    self._call("removeProcessGroup", name)
                for name in self._ours((*added, *changed), alive):
                    self._call("addProcessGroup", name)
            except xmlrpc.client.Fault as fault:
                raise Refused("supervisor", "supervisord refused a program: %s" % fault.faultString)
            return ({info["group"] for info in infos} | {*added}) - {*removed}

    def _ours(self, names: Sequence[str], alive: Set[str]) -> List[str]:
        return [name for name in names if name.startswith(PREFIX) and name not in alive]

    def _clean(self, unit: str) -> None:
        """Take away what a stopped unit leaves in the run folder."""
        name = _UNIT.fullmatch(unit)
        if name is None:
            return
        app, process, generation, instance = name.groups()
        base = "%s-%s" % (process, generation)
        if instance is not None:
            files.remove(self._place.run_of(app, "own", "%s.%s" % (base, instance)))
            clear_stale(self._place.run_of(app, "inst", base + ".sock"))
            return
        path = self._place.run_of(app, base + ".sock")
        for bound in (path, path + ".0", path + ".1"):
            files.remove(bound)

    def _unknown(self, name: str, fault: xmlrpc.client.Fault) -> Refused:
        if fault.faultCode == BAD_NAME:
            include = os.path.join(self._place.units, "*.conf")
            why = "supervisord does not know %s; let its [include] files= name %s"
            return Refused("supervisor", why % (name, include))
        return Refused("supervisor", "supervisord refused %s: %s" % (name, fault.faultString))


def _key(info: Info) -> str:
    return "%s:%s" % (info["group"], info["name"])


def _state(infos: List[Info]) -> str:
    states = {STATES.get(info["state"], "failed") for info in infos}
    if len(states) == 1:
        return states.pop()
    return "activating" if states <= {"active", "activating"} else "failed"


def _result(info: Info) -> str:
    if info["spawnerr"]:
        return str(info["spawnerr"])
    if not info["stop"]:
        return "success"
    code = info["exitstatus"]
    return "killed by a signal" if code < 0 else "exit code %d" % code


def _resident(pid: int) -> int:
    try:
        with open("/proc/%d/statm" % pid, encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _seconds(since: str) -> float:
    """Return the time that journalctl's `-90s` means; 0 for ""."""
    found = re.fullmatch(r"-(\d+)s", since)
    if since and found is None:
        raise Refused("bad-request", "%r is no time; write it like -90s" % since)
    return time.time() - int(found[1]) if found is not None else 0.0
