"""What listening costs: a host that writes many lines, and what it is sampled for.

python -m benchmarks.logs [--rate 10000] [--seconds 20] [--json FILE]

A worker on one host writes numbered lines at the rate; the daemon counts what it has heard. The
journal's own limit is taken off on that host (RateLimitBurst=0): lines that it drops never exist.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from acceptance.daemon import Daemon, serving
from acceptance.steer import Repo, Steer
from benchmarks.say import say
from benchmarks.void import Void
from lab.host import Host
from lab.lab import Lab

FLOOD = '''"""Writes LINES lines at RATE a second, once /run/flood is there."""
import os, sys, time
lines, rate = int(os.environ["LINES"]), int(os.environ["RATE"])
while not os.path.exists("/run/flood"):
    time.sleep(0.1)
began, done = time.monotonic(), 0
while done < lines:
    due = min(lines, int((time.monotonic() - began) * rate))
    sys.stdout.write("".join(
        f"2026-11-25 22:00:00 INFO shop.views order {n} was taken by somebody\\n"
        for n in range(done, due)))
    sys.stdout.flush()
    done = due
    time.sleep(0.02)
while True:
    time.sleep(60)
'''
PATIENCE = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description="What listening to a busy host costs.")
    parser.add_argument("--rate", type=int, default=10_000, help="lines a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="Write the figures there as well.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Lab(count=1) as lab:
        steer = Steer(Path(folder), Path(folder) / "cache", lab)
        _deploy(steer, lab.hosts[0], Path(folder), chosen.rate, chosen.rate * chosen.seconds)
        say("the worker is there")
        with serving(steer) as daemon:
            figures = _measure(
                steer, daemon, lab.hosts[0], chosen.rate, chosen.rate * chosen.seconds
            )
    print(
        f"\n{figures['written']} lines at {figures['rate']}/s from one host:"
        f" {figures['heard']} heard, the daemon used {figures['cores']:.0%} of a core;"
        f" the hand {figures['hand_cores']:.0%} of one"
    )
    is_met = figures["heard"] == figures["written"] and figures["cores"] <= 0.5
    print(f"target: nothing lost, at most half a core: {'met' if is_met else 'MISSED'}")
    print(f"sampling and listening in peace: {figures['peace']:.2%} of a core of the host")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures))


def _deploy(steer: Steer, host: Host, folder: Path, rate: int, lines: int) -> None:
    conf = host.root / "etc/systemd/journald.conf.d/flood.conf"
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text("[Journal]\nRateLimitBurst=0\n")
    host.run(["systemctl", "restart", "systemd-journald"])
    repo = Repo(folder / "flood", {"flood.py": FLOOD, "requirements.txt": ""})
    app = {
        "apiVersion": "steersman/v1",
        "kind": "App",
        "metadata": {"name": "flood"},
        "spec": {
            "source": {"git": {"url": f"file://{repo.path}", "ref": "main"}},
            "config": {"env": {"LINES": str(lines), "RATE": str(rate)}},
            "processes": {"worker": {"command": "python flood.py"}},
        },
    }
    steer.apply(*steer.hosts(), app)


def _measure(steer: Steer, daemon: Daemon, host: Host, rate: int, lines: int) -> dict[str, Any]:
    time.sleep(10)  # it has connected and begun to listen
    peace = _hand(host)
    time.sleep(30)
    peace = (_hand(host) - peace) / 30
    began, used, hand_used = time.monotonic(), daemon.cpu_seconds(), _hand(host)
    host.run(["touch", "/run/flood"])
    heard, grew = -1, time.monotonic()
    took = 0.0
    while heard < lines and time.monotonic() - grew < PATIENCE:
        now = _heard(steer)
        if now > heard:
            heard, grew, took = now, time.monotonic(), time.monotonic() - began
        time.sleep(0.5)
    if heard <= 0:
        raise Void(f"no line was heard:\n{daemon.said()}")
    seconds = lines / rate
    return {
        "written": lines,
        "heard": heard,
        "rate": rate,
        "told_after": took,
        "cores": (daemon.cpu_seconds() - used) / seconds,
        "hand_cores": (_hand(host) - hand_used) / seconds,
        "peace": peace,
    }


def _heard(steer: Steer) -> int:
    path = "/samples?name=steersman_log_lines_total&app=flood&latest=1"
    socket = steer.folder / "state/steersman/steer.sock"
    url = f"http://localhost/apis/steersman/v1{path}"
    done = subprocess.run(
        ["curl", "-sS", "--unix-socket", str(socket), url], capture_output=True, check=True
    )
    told = json.loads(done.stdout)
    return int(sum(each["value"] for each in told["latest"]))


def _hand(host: Host) -> float:
    """Return the seconds of CPU that the host's hand, and what it started, has used."""
    pid = host.run(["pgrep", "-o", "-f", "^python3 .*steersman-hand-ready"]).split()[0]
    children = host.run(["ps", "-o", "pid=", "--ppid", pid]).split()
    return sum(_cpu(host.run(["cat", f"/proc/{each}/stat"])) for each in (pid, *children))


def _cpu(stat: str) -> float:
    fields = stat.rpartition(")")[2].split()
    return sum(int(each) for each in fields[11:13]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
