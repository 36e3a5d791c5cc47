"""`make bench`, the part of git push: a change until all hosts serve it, beside Piku's way."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from acceptance.steer import Steer
from benchmarks.figures import cores, machine, verdict
from benchmarks.push.piku import Piku, give_git, pip_wheel
from benchmarks.push.steered import Steersman
from benchmarks.rollout.index import Index, collect
from benchmarks.rollout.measure import Deployed, deploy
from benchmarks.rollout.shop_repo import LOCK
from benchmarks.say import say
from benchmarks.tools import rivals_bin
from benchmarks.void import Void
from lab.commands import LabError
from lab.lab import Lab
from lab.machine import reason_to_skip

# What the project promises of Piku's whole way: pull, pip install, restart.
TARGET = 5.0
_VENV = Path(sys.prefix) / "bench"
_ALL, _SPARED = "piku-style", "piku-no-pip"

Runs = dict[str, list[Deployed]]


def main() -> int:
    chosen = _arguments()
    if (reason := reason_to_skip()) is not None:
        sys.stderr.write(f"bench: {reason}\n")
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="steersman-bench-") as name:
            runs = _measure(chosen, Path(name))
    except (Void, LabError, AssertionError) as error:
        sys.stderr.write(f"bench: void: {error}\n")
        return 1
    print(f"\n{_table(chosen, runs)}")
    if chosen.json is not None:
        figures = {name: [asdict(run) for run in done] for name, done in runs.items()}
        about = {"machine": machine(), "cores": cores(), "hosts": chosen.hosts}
        chosen.json.write_text(json.dumps({**about, "runs": figures}, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push", description=__doc__)
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--strategy", choices=["BlueGreen", "RollingUpdate"], default="BlueGreen")
    parser.add_argument("--verbose", action="store_true", help="print what the pusher reads")
    parser.add_argument("--json", type=Path, help="write every single measurement there")
    return parser.parse_args()


def _measure(chosen: argparse.Namespace, folder: Path) -> Runs:
    bin_ = rivals_bin(_VENV, ["pip"])
    say("downloading the app's wheels, and pip")
    collect(LOCK, bin_ / "pip", folder / "index")
    pip = pip_wheel(bin_ / "pip", folder)
    say(f"booting {chosen.hosts} hosts")
    with Lab(count=chosen.hosts) as lab:
        known_hosts = lab.write_reach(folder / "reach").known_hosts
        rivals = [
            Piku(name, folder, lab.key, known_hosts, port, installs=name == _ALL)
            for name, port in ((_ALL, 8001), (_SPARED, 8002))
        ]
        say("giving the hosts git, and the rivals what a first deploy makes")
        give_git(lab.hosts)
        with Index(folder / "index", lab.hosts[0].network.machine) as index:
            for rival in rivals:
                for host in lab.hosts:
                    rival.prepare(host, index.url, pip)
        (folder / "steer").mkdir()
        ours = Steersman(Steer(folder / "steer", folder / "cache", lab), lab.key, chosen.strategy)
        with ours.prepared():
            return _race(chosen, lab, [ours, *rivals])


def _race(chosen: argparse.Namespace, lab: Lab, tools: Sequence[Steersman | Piku]) -> Runs:
    """Return what each tool took, in turn; every one has pushed twice before anything counts."""
    for tool in tools:
        for is_first in (True, False):
            deploy(tool, lab.hosts, is_first=is_first)
    say(f"load {os.getloadavg()[0]:.1f} before the first round")
    runs: Runs = {tool.name: [] for tool in tools}
    for number in range(1, chosen.rounds + 1):
        for tool in tools:
            done = deploy(tool, lab.hosts, is_first=False)
            runs[tool.name].append(done)
            say(f"round {number}: {tool.name} {done.serving:.2f} s")
            if chosen.verbose:
                print(done.said)
    return runs


def _table(chosen: argparse.Namespace, runs: Runs) -> str:
    head = f"{'git push until served, medians':<32}{'rounds':>6}{'serving':>9}{'ended':>8}"
    lines = [
        f"{chosen.hosts} hosts; {chosen.strategy}; {machine()}",
        "",
        f"{head}{'lost':>7}{'ratio':>8}",
    ]
    ours = median(run.serving for run in runs["steersman"])
    for name, done in runs.items():
        serving = median(run.serving for run in done)
        row = f"{name:<32}{len(done):>6}{serving:>9.2f}{median(r.ended for r in done):>8.2f}"
        row += f"{median(run.lost for run in done):>7.0%}"
        if name != "steersman":
            row += f"{serving / ours:>7.1f}x"
        if name == _ALL:
            row += f"  {verdict(serving / ours >= TARGET)} (at least {TARGET:.0f}x)"
        lines.append(row)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
