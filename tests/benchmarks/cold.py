"""Cold: whole processes, one tool after the other, round after round."""

import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.tools import Tool, environment
from benchmarks.void import Void
from benchmarks.wanted import Reader, Wanted
from lab.host import Host


@dataclass(frozen=True)
class Run:
    """One run: how long it took, and how much of this machine's CPU the tool itself used."""

    wall: float
    cpu: float


class Referee:
    """Knows whether anything on the hosts was touched, whatever a tool says of itself."""

    def __init__(self, hosts: Sequence[Host], wanted: Wanted) -> None:
        self._hosts = hosts
        self._wanted = wanted
        self._before = self._look()

    def _look(self) -> dict[str, dict[str, object]]:
        return {host.name: Reader(host).traces(self._wanted) for host in self._hosts}

    def judge(self, tool: str) -> None:
        """Raise `Void` if any host is not as it was when this referee was made."""
        for host, now in self._look().items():
            before = self._before[host]
            touched = [what for what in before if before[what] != now[what]]
            if touched:
                raise Void(f"{tool} touched {', '.join(touched)} on {host}, all were as wanted")


def race(
    rounds: Mapping[str, int], tools: Sequence[Tool], referee: Referee, say: Callable[[str], None]
) -> dict[str, list[Run]]:
    """Run the tools in turn until each had its `rounds`.

    Raises `Void` if one fails or changes anything.
    """
    runs: dict[str, list[Run]] = {tool.name: [] for tool in tools}
    for number in range(1, max(rounds.values()) + 1):
        for tool in tools:
            if number <= rounds[tool.name]:
                done = once(tool)
                referee.judge(tool.name)
                runs[tool.name].append(done)
                say(f"round {number}: {tool.name} {done.wall:.2f} s")
    return runs


def once(tool: Tool) -> Run:
    """Run a tool; raises `Void` if it fails or says that it changed something."""
    cpu, began = _cpu_of_children(), time.monotonic()
    done = subprocess.run(
        list(tool.argv),
        env=environment(tool.env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    wall, cpu = time.monotonic() - began, _cpu_of_children() - cpu
    tool.forget()
    if done.returncode != 0:
        raise Void(f"{tool.name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    changes = tool.changes(done.stdout)
    if changes:
        raise Void(f"{tool.name} reports {changes} changes:\n{done.stdout}{done.stderr}")
    return Run(wall, cpu)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def typical(runs: Sequence[Run]) -> Run:
    """Return the medians of some runs."""
    return Run(median(run.wall for run in runs), median(run.cpu for run in runs))
