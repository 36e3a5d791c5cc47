"""One host that writes many lines a second: are all heard, and what does that cost whom?

python -m benchmarks.logs [--rate 10000] [--seconds 20] [--secrets 5] [--idle 30] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acceptance.daemon import Daemon, serving
from acceptance.steer import Repo, Steer, app
from benchmarks.say import say
from benchmarks.void import Void
from lab.lab import Lab

TICK = os.sysconf("SC_CLK_TCK")
WITHIN = 60.0
# Lines as gunicorn, Django and structlog write them, begun by a signal.
FLOOD = """\
import signal, sys, time

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
LINES = (
    "INFO 2026-11-25 22:10:04,512 orders.views placed order %d for a customer in 12.3 ms\\n",
    '10.0.0.7 - - [25/Nov/2026:22:10:04 +0000] "GET /orders/%d HTTP/1.1" 200 5124 "-" "curl"\\n',
    '{"event": "order placed", "order": %d, "level": "info", "took": 12.3, "user": "someone"}\\n',
    "[2026-11-25 22:10:04 +0000] [17] [WARNING] order %d took longer than it should\\n",
)
while signal.sigwait([signal.SIGUSR1]):
    began, sent = time.monotonic(), 0
    while sent < TOTAL:
        due = min(TOTAL, int((time.monotonic() - began) * RATE))
        sys.stdout.write("".join(LINES[n % 4] % n for n in range(sent, due)))
        sys.stdout.flush()
        sent = due
        time.sleep(0.02)
"""


class Counted:
    """Follows the daemon's own samples, and knows how many lines it heard."""

    def __init__(self, daemon: Daemon) -> None:
        socket = daemon.folder / "state/steersman/steer.sock"
        url = "http://localhost/apis/steersman/v1/signals?kind=metrics&app=flood"
        self.child = subprocess.Popen(
            ["curl", "-sSN", "--unix-socket", str(socket), url], stdout=subprocess.PIPE
        )
        self.levels: dict[str, float] = {}

    def until(self, count: int) -> int:
        """Return how many lines were heard, once there are `count`, or no more for a while."""
        deadline = time.monotonic() + WITHIN
        while sum(self.levels.values()) < count and time.monotonic() < deadline:
            assert self.child.stdout is not None
            told = json.loads(self.child.stdout.readline()).get("metrics", {"name": ""})
            if told["name"] == "steersman_log_lines_total":
                self.levels[told["labels"]["level"]] = told["value"]
        return int(sum(self.levels.values()))


@contextmanager
def counting(daemon: Daemon) -> Iterator[Counted]:
    counted = Counted(daemon)
    try:
        yield counted
    finally:
        counted.child.terminate()
        counted.child.communicate()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logs", description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000, help="lines a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--secrets", type=int, default=5, help="values that are masked")
    parser.add_argument("--idle", type=int, default=30, help="seconds in which only samples come")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Lab(count=1) as lab:
        steer = Steer(Path(folder), Path(folder) / "cache", lab)
        _deploy(steer, chosen)
        say("the app is there")
        with serving(steer) as daemon, counting(daemon) as counted:
            _wait(lambda: bool(daemon.events("host_connected")))
            figures = _measure(lab, daemon, counted, chosen)
    _report(figures, chosen)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures))
    return 0


def _deploy(steer: Steer, chosen: Any) -> None:
    code = f"RATE, TOTAL = {chosen.rate}, {chosen.rate * chosen.seconds}\n{FLOOD}"
    repo = Repo(steer.folder / "flood", {"flood.py": code, "requirements.txt": ""})
    values = {f"KEY_{n}": f"a-s3cret-value/{n}+of$ours" for n in range(chosen.secrets)}
    secret = {
        "apiVersion": "steersman/v1",
        "kind": "Secret",
        "metadata": {"name": "keys"},
        "spec": {"data": {name: {"fromEnv": name} for name in values}},
    }
    worker = {"command": "python flood.py", "count": 1}
    config = {"secrets": ["keys"]} if values else {}
    document = app("flood", repo, processes={"worker": worker}, routes=[], config=config)
    steer.apply(*steer.hosts(), *([secret] if values else []), document, expect=0, **values)


def _measure(lab: Lab, daemon: Daemon, counted: Counted, chosen: Any) -> dict[str, float]:
    total = chosen.rate * chosen.seconds
    before = _used(lab, daemon)
    lab.hosts[0].run(["systemctl", "kill", "-s", "USR1", "steersman-flood.worker.g1@1.service"])
    # All of the work is counted, and as if it had been done while the flood lasted: who is late
    # looks no better for it.
    heard = counted.until(total)
    after = _used(lab, daemon)
    figures = {f"{who} CPU": (after[who] - before[who]) / chosen.seconds for who in before}
    figures |= {"written": total, "heard": heard}
    say(f"{heard:,} of {total:,} lines were heard; now samples alone")
    before, began = _used(lab, daemon), time.monotonic()
    time.sleep(chosen.idle)
    idle, after = time.monotonic() - began, _used(lab, daemon)
    return figures | {"idle hand CPU": (after["hand"] - before["hand"]) / idle}


def _used(lab: Lab, daemon: Daemon) -> dict[str, float]:
    """Return the seconds of CPU that each has used so far."""
    told = {"controller": daemon.cpu_seconds(), "hand": 0.0, "journalctl": 0.0, "journald": 0.0}
    for process in Path("/proc").iterdir():
        name = _name_of(process, lab) if process.name.isdigit() else ""
        if name:
            told[name] += _cpu(process)
    return told


def _name_of(process: Path, lab: Lab) -> str:
    try:
        if not os.path.samefile(process / "ns/net", f"/run/netns/{lab.hosts[0].namespace}"):
            return ""
        words = (process / "cmdline").read_bytes()
    except OSError:
        return ""
    if b"steersman-hand-ready" in words and b"python3" in words.split(b"\0", 1)[0]:
        return "hand"
    if words.startswith(b"journalctl\0"):
        return "journalctl"
    return "journald" if b"systemd-journald" in words else ""


def _cpu(process: Path) -> float:
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not is_so():
        if time.monotonic() > deadline:
            raise Void("the daemon is not connected")
        time.sleep(0.1)


def _report(figures: dict[str, float], chosen: Any) -> None:
    print(f"\n{chosen.rate:,} lines a second for {chosen.seconds} s, {chosen.secrets} secrets:")
    lost = figures["written"] - figures["heard"]
    print(f"  written {figures['written']:,.0f}, heard {figures['heard']:,.0f}, lost {lost:,.0f}")
    for name in ("controller", "hand", "journalctl", "journald"):
        print(f"  {name:<12}{figures[f'{name} CPU']:>8.1%} of a core")
    print(f"samples alone: the hand takes {figures['idle hand CPU']:.2%} of a core")
    is_met = lost == 0 and figures["controller CPU"] < 0.5 and figures["idle hand CPU"] < 0.01
    print(f"target (none lost, < 50 %, < 1 %): {'met' if is_met else 'MISSED'}")


if __name__ == "__main__":
    sys.exit(main())
