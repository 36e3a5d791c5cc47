"""What users of a host notice of its rollouts: latency under load, without and with them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.rollout.tools import Deployer, finished
from benchmarks.tools import environment
from benchmarks.void import Void
from lab.host import Host
from load.background import Load
from load.tally import Report


@dataclass(frozen=True)
class Latency:
    """Reports of the load client: nothing else to do, and one rollout after the other."""

    offered: float
    rollouts: int
    quiet: Report
    busy: Report

    @property
    def added(self) -> float:
        """Milliseconds that rollouts added to the 99th percentile."""
        return (self.busy.p99 - self.quiet.p99) * 1000

    @property
    def lost(self) -> int:
        return self.quiet.failed + self.busy.failed


def measure(
    tool: Deployer, hosts: Sequence[Host], rate: float, rollouts: int, seconds: float
) -> Latency:
    """Load `hosts` for a while in peace, then through `rollouts`; `Void` if one of these fails."""
    urls = [f"http://{host.address}/" for host in hosts]

    def load() -> Load:
        return Load(urls, host=tool.site, rate=rate)

    with load() as quiet:
        time.sleep(seconds)
    with load() as busy:
        for _ in range(rollouts):
            tool.shop.change()
            done = finished(tool.deploy(hosts, is_first=False), environment(tool.env))
            if done.returncode != 0:
                raise Void(f"a rollout under load failed:\n{done.stdout}{done.stderr}")
    return Latency(rate, rollouts, quiet.report, busy.report)
