"""A daemon over real hosts: what it costs when nothing happens, and how soon drift is healed.

python -m benchmarks.daemon [--hosts 40] [--events 300] [--idle 60] [--json FILE]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from benchmarks.daemon.damage import DAMAGES
from benchmarks.say import say
from benchmarks.scene import Scene
from benchmarks.tools import environment
from benchmarks.void import Void
from lab.lab import Lab

SETTLING = 10.0


class Daemon:
    """`steer serve` over the scene's hosts."""

    def __init__(self, scene: Scene, log: Path) -> None:
        self._log = log
        self._env = environment(scene.steersman.env)
        argv = [sys.executable, "-m", "steersman.cli", "serve"]
        with log.open("wb") as stream:
            self._process = subprocess.Popen(argv, env=self._env, stdout=stream, stderr=stream)

    def wait_until(self, count: int, event: str) -> None:
        """Return once the log has so many records of an event."""
        deadline = time.monotonic() + 120
        while self._log.read_text().count(f'"event": "{event}"') < count:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Void(f"the daemon never said {event} {count} times:\n{self._log.read_text()}")
            time.sleep(0.1)

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """Return its memory in MiB."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=60)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a daemon costs, and how soon it heals.")
    parser.add_argument("--hosts", type=int, default=40)
    parser.add_argument("--events", type=int, default=300, help="How many things to damage.")
    parser.add_argument("--idle", type=float, default=60, help="Seconds of idleness to measure.")
    parser.add_argument("--json", type=Path, help="Write the figures there as well.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Lab(count=chosen.hosts) as lab:
        say(f"{chosen.hosts} hosts are up")
        scene = Scene(lab, Path(folder))
        scene.deploy()
        say("2 apps are on each")
        daemon = Daemon(scene, Path(folder) / "serve.log")
        try:
            daemon.wait_until(chosen.hosts, "host_connected")
            time.sleep(SETTLING)
            say("the daemon is connected to all of them")
            figures = measure(daemon, lab, chosen.events, chosen.idle)
        finally:
            daemon.stop()
    report(figures, chosen.hosts)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures))


def measure(daemon: Daemon, lab: Lab, events: int, idle: float) -> dict[str, object]:
    before = daemon.cpu()
    time.sleep(idle)
    used = (daemon.cpu() - before) / idle
    say(f"idle: {used:.2%} of a core")
    healed: dict[str, list[float]] = {each.name: [] for each in DAMAGES}
    for number in range(events):
        damage = DAMAGES[number % len(DAMAGES)]
        host = lab.hosts[number % len(lab.hosts)]
        healed[damage.name].append(damage.healed_after(host))
    return {"idle": used, "resident": daemon.resident(), "healed": healed}


def report(figures: dict[str, object], hosts: int) -> None:
    healed = figures["healed"]
    assert isinstance(healed, dict)
    everything = sorted(seconds for times in healed.values() for seconds in times)
    print(f"\nan idle daemon over {hosts} hosts: {figures['idle']:.2%} of a core,", end=" ")
    print(f"{figures['resident']:.0f} MiB")
    print(f"\n{'drift put right after (s)':<32}{'events':>8}{'median':>9}{'p99':>9}{'most':>9}")
    for name, times in [*healed.items(), ("all", everything)]:
        p99 = quantiles(times, n=100)[98] if len(times) > 1 else times[0]
        print(f"{name:<32}{len(times):>8}{median(times):>9.3f}{p99:>9.3f}{max(times):>9.3f}")
    p99 = quantiles(everything, n=100)[98]
    print(f"\ntargets: p99 of all <= 1 s: {'met' if p99 <= 1 else 'MISSED'};", end=" ")
    is_met = isinstance(figures["idle"], float) and figures["idle"] <= 0.01
    print(f"idle <= 1 % of a core: {'met' if is_met else 'MISSED'}")


if __name__ == "__main__":
    main()
