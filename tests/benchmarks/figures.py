"""What was measured, as a table for people and as JSON."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cold import Run, typical
from benchmarks.kept import Kept
from benchmarks.tools import Tool

# What the project promises: how many times faster than each rival, the seconds of a pass over kept
# links, and the MiB of each connected host.
RATIOS = {"pyinfra": 8.0, "ansible-core": 30.0}
WARM = 0.1
MEMORY = 1.5


@dataclass(frozen=True)
class Figures:
    """Everything that one run of the benchmark found out."""

    hosts: int
    checks: int
    load: float
    tools: Sequence[Tool]
    runs: Mapping[str, list[Run]]
    kept: Kept

    @property
    def memory(self) -> float:
        """MiB for each connected host, at its worst."""
        return max(self.kept.connected, self.kept.after_passes) / self.hosts

    def ratio(self, rival: str) -> float:
        """How many times longer than steersman a rival took, median by median."""
        return typical(self.runs[rival]).wall / typical(self.runs["steersman"]).wall

    def table(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.hosts} hosts with 2 apps each, {self.checks} checks on each, nothing to do"
        yield f"{machine()}; load {self.load:.1f} before the first round"
        yield ""
        yield f"{'cold, medians':<24}{'rounds':>6}{'seconds':>9}{'own CPU':>9}{'ratio':>9}"
        yield from map(self._row, self.tools)
        yield ""
        passes = self.kept.passes
        spread = f"min {min(passes):.3f}, max {max(passes):.3f}, {len(passes)} passes"
        good = verdict(self.kept.median <= WARM)
        yield f"kept links, all hosts: {self.kept.median:.3f} s  {good} (at most {WARM} s)"
        yield f"  {spread}"
        good = verdict(self.memory <= MEMORY)
        yield f"memory for each host: {self.memory:.2f} MiB  {good} (at most {MEMORY} MiB)"

    def _row(self, tool: Tool) -> str:
        runs = self.runs[tool.name]
        done, ratio = typical(runs), self.ratio(tool.name)
        row = f"{tool.name + ' ' + tool.version:<24}{len(runs):>6}{done.wall:>9.2f}{done.cpu:>9.2f}"
        if tool.name != "steersman":
            row += f"{ratio:>8.1f}x"
        if (wanted := RATIOS.get(tool.name)) is not None:
            row += f"  {verdict(ratio >= wanted)} (at least {wanted:.0f}x)"
        return row

    def as_json(self) -> dict[str, object]:
        rivals = [tool.name for tool in self.tools if tool.name != "steersman"]
        return {
            "machine": machine(),
            "cores": cores(),
            "load": self.load,
            "hosts": self.hosts,
            "checks": self.checks,
            "versions": {tool.name: tool.version for tool in self.tools},
            "cold": {
                name: [{"wall": run.wall, "cpu": run.cpu} for run in runs]
                for name, runs in self.runs.items()
            },
            "ratios": {name: self.ratio(name) for name in rivals},
            "warm": self.kept.passes,
            "memory": {
                "connected": self.kept.connected / self.hosts,
                "after_passes": self.kept.after_passes / self.hosts,
            },
        }


def verdict(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


def cores() -> int:
    return len(os.sched_getaffinity(0))


def machine() -> str:
    """Return what this machine is: its processor, cores, memory and Python."""
    rows = Path("/proc/cpuinfo").read_text().splitlines()
    names = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    processor = names[0] if names else platform.machine()
    return f"{processor}, {cores()} cores, {memory:.0f} GiB, Python {platform.python_version()}"
