"""What processes and the host use: read from /proc and control groups every few seconds."""

from __future__ import annotations

import os
import re
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List

    from .place import Place

    Message = Dict[str, Any]

EVERY = 10.0
# The share of a page that several processes map costs the kernel a walk: asked for more rarely.
RARELY = 6
MOST = 4096
PAGE, TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_INSTANCE = re.compile(r"steersman-[a-z0-9-]+\.[a-z0-9-]+\.g\d+@\d+(?:\.service)?")


class Processes:
    """A source for `listen`: what each instance uses, with all that it started."""

    def __init__(self, supervisor: "Any", settings: "Dict[str, Any]") -> None:
        self.fds: "List[int]" = []
        self.every = float(settings.get("every") or EVERY)
        self._supervisor = supervisor
        self._turn = 0

    def take(self) -> "Iterator[Message]":
        now = time.time()
        pids = {
            unit: int(state[2])
            for unit, state in self._supervisor.seen().items()
            if int(state[2]) > 0 and _INSTANCE.fullmatch(unit)
        }
        is_rare, self._turn = self._turn % RARELY == 0, self._turn + 1
        restarts = self._supervisor.details(list(pids)) if is_rare and pids else {}
        for unit, pid in pids.items():
            used = usage(pid, with_pss=is_rare)
            if unit in restarts:
                used["process_restarts_total"] = float(restarts[unit]["restarts"])
            for name, value in used.items():
                kind = "counter" if name.endswith("_total") else "gauge"
                yield {"sample": ["steersman_" + name, value, {"unit": unit}, kind], "t": now}

    def close(self) -> None: ...


def usage(pid: int, with_pss: bool) -> "Dict[str, float]":
    """Return what a main process and all in its group use; {} when it has gone."""
    group = _group(pid)
    rss = pss = fds = threads = ticks = 0
    started = -1.0
    for each in group or _family(pid):
        try:
            with open("/proc/%d/stat" % each, "rb") as file:
                # proc(5): behind the name come the state and then fields 4 and on.
                fields = file.read().rpartition(b")")[2].split()
            rss += int(fields[21]) * PAGE
            threads += int(fields[17])
            ticks += int(fields[11]) + int(fields[12])
            if each == pid:
                ticks += int(fields[13]) + int(fields[14])
                started = int(fields[19]) / TICKS
            fds += len(os.listdir("/proc/%d/fd" % each))
            pss += _pss(each) if with_pss else 0
        except (OSError, IndexError, ValueError):
            continue  # it has just ended
    if started < 0:
        return {}
    cpu = _cpu_of_group(pid)
    used = {
        "process_cpu_seconds_total": ticks / TICKS if cpu is None else cpu,
        "process_resident_bytes": float(rss),
        "process_open_fds": float(fds),
        "process_threads": float(threads),
        "process_uptime_seconds": time.clock_gettime(time.CLOCK_BOOTTIME) - started,
    }
    return {**used, "process_pss_bytes": float(pss)} if with_pss else used


def _path_of_group(pid: int, hierarchy: bytes) -> str:
    with open("/proc/%d/cgroup" % pid, "rb") as file:
        for line in file.read().splitlines():
            _, name, path = line.split(b":", 2)
            if name == hierarchy and b"steersman-" in path:
                return path.decode("utf-8", "surrogateescape")
    return ""


def _group(pid: int) -> "List[int]":
    """Return the pids in a process's control group, [] where it has none of its own."""
    for hierarchy, root in ((b"", ""), (b"", "/unified"), (b"name=systemd", "/systemd")):
        try:
            path = _path_of_group(pid, hierarchy)
            if path:
                with open("/sys/fs/cgroup%s%s/cgroup.procs" % (root, path), "rb") as file:
                    return [int(each) for each in file.read().split()[:MOST]]
        except (OSError, ValueError):
            continue
    return []


def _cpu_of_group(pid: int) -> "float | None":
    """Return the seconds that a group has used since it is there, ended processes included."""
    try:
        with open("/sys/fs/cgroup%s/cpu.stat" % _path_of_group(pid, b""), "rb") as file:
            words = file.read().split()
        return int(words[words.index(b"usage_usec") + 1]) / 1e6
    except (OSError, ValueError, IndexError):
        return None


def _family(pid: int) -> "List[int]":
    """Return a process and what it started."""
    found = [pid]
    for each in found:
        try:
            with open("/proc/%d/task/%d/children" % (each, each), "rb") as file:
                found += [int(child) for child in file.read().split()]
        except OSError:
            continue
        if len(found) > MOST:
            break
    return found


def _pss(pid: int) -> int:
    with open("/proc/%d/smaps_rollup" % pid, "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class Host:
    """A source for `listen`: what the host has, and how much of it is used."""

    def __init__(self, place: "Place", settings: "Dict[str, Any]") -> None:
        self.fds: "List[int]" = []
        self.every = float(settings.get("every") or EVERY)
        self._root = place.root

    def take(self) -> "Iterator[Message]":
        now = time.time()
        for read in (self._cpu, self._load, self._memory, self._disk, self._network):
            for name, value, labels in read():
                kind = "counter" if name.endswith("_total") else "gauge"
                yield {"sample": ["steersman_host_" + name, value, labels, kind], "t": now}

    def _cpu(self) -> "Iterator[Any]":
        with open("/proc/stat") as file:
            values = file.readline().split()[1:]
        for mode, value in zip(MODES, values):  # noqa: B905 - 3.9 has no strict
            yield "cpu_seconds_total", int(value) / TICKS, {"mode": mode}

    def _load(self) -> "Iterator[Any]":
        yield "load1", os.getloadavg()[0], {}

    def _memory(self) -> "Iterator[Any]":
        wanted = {"MemTotal:": "total", "MemAvailable:": "available"}
        with open("/proc/meminfo") as file:
            for line in file:
                words = line.split()
                if words[0] in wanted:
                    yield "memory_bytes", int(words[1]) * 1024, {"state": wanted[words[0]]}

    def _disk(self) -> "Iterator[Any]":
        found = os.statvfs(self._root if os.path.isdir(self._root) else "/")
        yield "disk_bytes", found.f_blocks * found.f_frsize, {"state": "total"}
        yield "disk_bytes", found.f_bavail * found.f_frsize, {"state": "free"}

    def _network(self) -> "Iterator[Any]":
        received = sent = 0
        with open("/proc/net/dev") as file:
            for line in file.readlines()[2:]:
                name, _, rest = line.partition(":")
                if name.strip() != "lo":
                    words = rest.split()
                    received, sent = received + int(words[0]), sent + int(words[8])
        yield "network_bytes_total", received, {"direction": "received"}
        yield "network_bytes_total", sent, {"direction": "sent"}

    def close(self) -> None: ...
