"""The control groups that a host's processes live in: how they are found and ended."""

import os
import select
import signal
from pathlib import Path

from lab.commands import LabError, wait_until

_ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """Return the hierarchies that systemd tracks processes in: one with v2, two with v1."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [path for path in (_ROOT / "unified", _ROOT / "systemd") if path.is_dir()]


def folders(name: str) -> list[Path]:
    """Return the folders of the group `name`, such as `steersman-lab-1a2b3c/h1`."""
    return [root / name for root in hierarchies()]


def members(name: str) -> set[int]:
    """Return the processes in the group and all groups below it."""
    # Groups come and go while we look, which `rglob` does not forgive.
    return {
        pid
        for folder in folders(name)
        for path, _, _ in os.walk(folder)
        for pid in _read(Path(path, "cgroup.procs"))
    }


def first(name: str) -> int | None:
    """Return the oldest process directly in the group; a younger one may have a smaller pid."""
    ages = []
    for pid in {pid for each in folders(name) for pid in _read(each / "cgroup.procs")}:
        try:
            ages.append((start_time(pid), pid))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return min(ages)[1] if ages else None


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since the boot; a zombie is none."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    state, *fields = stat[stat.rindex(")") + 2 :].split()
    if state == "Z":
        raise ProcessLookupError(pid)
    return int(fields[18])


def _read(listing: Path) -> list[int]:
    try:
        return [int(line) for line in listing.read_text().split()]
    except (FileNotFoundError, OSError):
        return []  # the group went while we looked


def kill(name: str) -> None:
    """End every process of the group at once, and remove it; safe to repeat."""

    def empty() -> bool:
        pids = members(name)
        for pid in pids:
            _kill(pid)
        return not pids

    wait_until(empty, f"the end of the processes in the cgroup {name}")
    for folder in folders(name):
        if folder.is_dir():
            _remove(folder)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _remove(folder: Path) -> None:
    below = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
    for path in [*below, folder]:
        path.rmdir()


def wait_for_exit(pid: int, timeout: float) -> None:
    """Return once the process has ended; a `LabError` after `timeout` seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([descriptor], [], [], timeout)[0]:
            raise LabError(f"process {pid} was still running after {timeout:.0f} s")
    finally:
        os.close(descriptor)


def make(name: str) -> None:
    """Make the group and hand its controllers down, where the hierarchy has any (v2)."""
    for folder in folders(name):
        folder.mkdir()
        controllers = folder / "cgroup.controllers"
        if controllers.exists() and (names := controllers.read_text().split()):
            enabled = " ".join(f"+{each}" for each in names)
            (folder / "cgroup.subtree_control").write_text(enabled)
