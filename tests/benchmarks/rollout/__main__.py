"""`make bench`, second part: a code change and a first deploy beside pyinfra and Fabric scripts."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.rollout.figures import Figures
from benchmarks.rollout.index import Index, collect
from benchmarks.rollout.latency import Latency
from benchmarks.rollout.latency import measure as measure_latency
from benchmarks.rollout.measure import Deployed, deploy
from benchmarks.rollout.shop_repo import LOCK
from benchmarks.rollout.tools import RIVALS, Deployer, Script, Steersman, give_uv
from benchmarks.say import say
from benchmarks.tools import rivals_bin
from benchmarks.void import Void
from lab.commands import LabError
from lab.host import Host
from lab.lab import Lab
from lab.machine import reason_to_skip

_VENV = Path(sys.prefix) / "bench"


def main() -> int:
    chosen = _arguments()
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout", description=__doc__)
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3, help="of the code change")
    parser.add_argument("--strategy", choices=["BlueGreen", "RollingUpdate"], default="BlueGreen")
    parser.add_argument("--rate", type=float, default=500.0, help="requests/s; 0 leaves it out")
    parser.add_argument("--rollouts", type=int, default=5, help="under load")
    parser.add_argument(
        "--against", nargs="*", choices=RIVALS, default=RIVALS, help="fewer rivals, to be quick"
    )
    parser.add_argument("--verbose", action="store_true", help="print what steersman says")
    parser.add_argument("--json", type=Path, help="write every single measurement there")
    return parser.parse_args()


def _measure(chosen: argparse.Namespace) -> Figures:
    bin_ = rivals_bin(_VENV, RIVALS)
    with tempfile.TemporaryDirectory(prefix="steersman-bench-") as name:
        folder = Path(name)
        say("downloading the app's wheels")
        size = collect(LOCK, bin_ / "pip", folder / "index")
        # One more host, on which every tool makes its bytecode and fills its caches first.
        say(f"booting {chosen.hosts} hosts and one to warm up on")
        with Lab(count=chosen.hosts + 1) as lab:
            address = lab.hosts[0].network.machine
            with Index(folder / "index", address) as index:
                return _Race(lab, folder, bin_, index.url, chosen).run(size)


class _Race:
    """All tools over the same hosts, in turn."""

    def __init__(
        self, lab: Lab, folder: Path, bin_: Path, index: str, chosen: argparse.Namespace
    ) -> None:
        self._chosen = chosen
        *self._hosts, self._spare = lab.hosts
        self._folder = folder
        self._warm = Steersman(folder, lab.key, chosen.strategy, app="warm")
        reached = lab.write_reach(folder / "reach").known_hosts
        self._ours = Steersman(folder, lab.key, chosen.strategy)
        self._rivals = [
            Script(name, folder / name, lab.key, reached, bin_, 8001 + n, index)
            for n, name in enumerate(chosen.against)
        ]
        self._tools: list[Deployer] = [self._ours, *self._rivals]
        give_uv(lab.hosts)

    def run(self, wheel_bytes: int) -> Figures:
        warmed: list[Deployer] = [self._warm, *self._rivals]
        for tool in warmed:
            deploy(tool, [self._spare], is_first=True)
            deploy(tool, [self._spare], is_first=False)
        load = os.getloadavg()[0]
        firsts = {tool.name: self._one(tool, "first deploy", is_first=True) for tool in self._tools}
        blobs = _blobs(self._hosts[0])
        changes: dict[str, list[Deployed]] = {tool.name: [] for tool in self._tools}
        for number in range(1, self._chosen.rounds + 1):
            for tool in self._tools:
                changes[tool.name].append(self._one(tool, f"round {number}", is_first=False))
        return Figures(
            hosts=len(self._hosts),
            wheels=len(list((self._folder / "index/files").glob("*.whl"))),
            wheel_bytes=wheel_bytes,
            blob_bytes=blobs,
            changed_bytes=self._ours.shop.changed_bytes,
            load=load,
            strategy=self._chosen.strategy,
            tools=self._tools,
            firsts=firsts,
            changes=changes,
            latency=self._latency(),
        )

    def _one(self, tool: Deployer, what: str, *, is_first: bool) -> Deployed:
        done = deploy(tool, self._hosts, is_first=is_first)
        say(f"{what}: {tool.name} {done.serving:.2f} s, {done.sent // 1024} KiB to a host")
        if tool is self._ours and self._chosen.verbose:
            print(done.said)
        return done

    def _latency(self) -> Latency | None:
        if not self._chosen.rate:
            return None
        say("rollouts under load, on one host")
        chosen = self._chosen
        return measure_latency(self._warm, [self._spare], chosen.rate, chosen.rollouts, 15.0)


def _blobs(host: Host) -> int:
    """Return the bytes of everything that a host's store holds, each once."""
    return sum(path.stat().st_size for path in (host.root / "srv/steersman/store").iterdir())


if __name__ == "__main__":
    sys.exit(main())
