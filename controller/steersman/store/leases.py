"""Advisory leases in SQLite: two commands on one app take turns.

They keep people from surprises; what protects a host is the epoch that it checks itself.
"""

import os
import time
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from steersman.store.errors import LeaseHeld, LeaseLost
from steersman.store.lane import Session
from steersman.store.protocol import Lease


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    started: str
    boot: str


def this_process() -> Process:
    return _process(os.getpid())


@cache
def _process(pid: int) -> Process:
    return Process(pid, started(pid) or "", _boot())


def started(pid: int) -> str | None:
    """Return when a process started, in the kernel's ticks; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc(5): the name in parentheses may hold anything; the state is field 3, the start 22.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def acquire(session: Session, name: str, holder: str, ttl: float, me: Process) -> Lease:
    holding = holder_of(session, name, me)
    if holding is not None:
        raise LeaseHeld(name, *holding)
    lease = Lease(name, holder, me.pid, uuid.uuid4().hex)
    session.run(
        "INSERT OR REPLACE INTO leases (name, token, holder, pid, process, boot, expires)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(name, lease.token, holder, me.pid, me.started, me.boot, _now() + ttl),
    )
    return lease


def holder_of(session: Session, name: str, me: Process) -> tuple[str, int] | None:
    """Return who holds `name`, and the pid, unless that process is gone or late."""
    row = session.row("SELECT holder, pid, process, boot, expires FROM leases WHERE name = ?", name)
    if row is None:
        return None
    who, pid, process, boot, expires = str(row[0]), int(str(row[1])), *row[2:]
    alive = boot == me.boot and started(pid) == process
    return (who, pid) if alive and float(str(expires)) > _now() else None


def renew(session: Session, lease: Lease, ttl: float) -> None:
    changed = session.run(
        "UPDATE leases SET expires = ? WHERE name = ? AND token = ?",
        *(_now() + ttl, lease.name, lease.token),
    )
    if changed == 0:
        raise LeaseLost(lease.name)


def release(session: Session, lease: Lease) -> None:
    session.run("DELETE FROM leases WHERE name = ? AND token = ?", lease.name, lease.token)


def _now() -> float:
    # Counts through suspend and ignores changes of the wall clock; one boot shares it.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
