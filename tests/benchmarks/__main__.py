"""`make bench`: a no-op pass over real hosts, beside Ansible and pyinfra doing the same checks."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.cold import Referee, once, race
from benchmarks.figures import Figures
from benchmarks.kept import measure
from benchmarks.say import say
from benchmarks.scene import Scene
from benchmarks.tools import RIVALS, Ansible, Pyinfra, Tool, environment, rivals_bin
from benchmarks.void import Void
from lab.commands import LabError
from lab.lab import Lab
from lab.machine import reason_to_skip

_VENV = Path(sys.prefix) / "bench"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--hosts", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3, help="of the cold runs")
    parser.add_argument("--ansible-rounds", type=int, default=1, help="each takes minutes")
    parser.add_argument("--passes", type=int, default=20, help="over kept links")
    parser.add_argument(
        "--against", nargs="*", choices=RIVALS, default=RIVALS, help="fewer rivals, to be quick"
    )
    parser.add_argument("--json", type=Path, help="write every single measurement there")
    chosen = parser.parse_args()
    if (reason := reason_to_skip()) is not None:
        sys.stderr.write(f"bench: {reason}\n")
        return 1
    try:
        figures = _measure(chosen)
    except (Void, LabError) as error:
        sys.stderr.write(f"bench: void: {error}\n")
        return 1
    print(f"\n{figures.table()}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures.as_json(), indent=1) + "\n")
    return 0


def _measure(chosen: argparse.Namespace) -> Figures:
    bin_ = rivals_bin(_VENV) if chosen.against else _VENV
    with tempfile.TemporaryDirectory(prefix="steersman-bench-") as folder:
        say(f"booting {chosen.hosts} hosts")
        with Lab(count=chosen.hosts) as lab:
            return _on(lab, Path(folder), bin_, chosen)


def _on(lab: Lab, folder: Path, bin_: Path, chosen: argparse.Namespace) -> Figures:
    scene = Scene(lab, folder)
    say("deploying 2 apps to each")
    wanted = scene.deploy()
    listed = wanted.write(folder)
    tools: list[Tool] = [scene.steersman, *_rivals(scene, listed, bin_, chosen.against)]
    referee = Referee(lab.hosts, wanted)
    # Bytecode and page cache are made before anything counts.
    once(scene.steersman)
    load = os.getloadavg()[0]
    rounds = {tool.name: chosen.rounds for tool in tools} | {"ansible-core": chosen.ansible_rounds}
    runs = race(rounds, tools, referee, say)
    say("keeping links")
    kept = measure(scene.manifests, chosen.passes, environment(scene.steersman.env))
    referee.judge("steersman over kept links")
    return Figures(len(lab.hosts), len(wanted), load, tools, runs, kept)


def _rivals(scene: Scene, listed: Path, bin_: Path, against: Sequence[str]) -> Iterator[Tool]:
    hosts, reach, folder = scene.lab.hosts, scene.reach, scene.folder
    if "pyinfra" in against:
        for tuned in (False, True):
            home = folder / f"pyinfra-{tuned}"
            yield Pyinfra(listed, reach, hosts, scene.lab.key, home, bin_, tuned)
    if "ansible-core" in against:
        yield Ansible(listed, reach, hosts, folder / "ansible", bin_)


if __name__ == "__main__":
    sys.exit(main())
