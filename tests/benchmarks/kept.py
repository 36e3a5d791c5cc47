"""Warm: one process that keeps its links, run as a child so that its memory is its own.

`python -m benchmarks.kept MANIFESTS PASSES` prints what it measured as JSON; STEER_STATE_DIR and
XDG_CACHE_HOME say where steersman's memory is.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.void import Void
from steersman.cli.app import Tools
from steersman.cli.context import Here, opened_here
from steersman.control.apply import Applied
from steersman.manifests import Loaded, load

MIB = 1024 * 1024


@dataclass(frozen=True)
class Kept:
    """Seconds of each pass over all hosts; MiB that the process grew by, by all hosts together."""

    passes: list[float]
    connected: float
    after_passes: float

    @property
    def median(self) -> float:
        return median(self.passes)


def measure(manifests: Path, passes: int, env: Mapping[str, str]) -> Kept:
    """Let a child keep links to all hosts; raises `Void` if it fails or changes something."""
    argv = [sys.executable, "-m", "benchmarks.kept", str(manifests), str(passes)]
    done = subprocess.run(argv, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Void(f"the kept links failed:\n{done.stdout}{done.stderr}")
    return Kept(**json.loads(done.stdout))


def main() -> None:
    manifests, passes = sys.argv[1:]
    loaded = load((manifests,))
    print(json.dumps(asyncio.run(_measure(loaded, int(passes)))))


async def _measure(loaded: Loaded, passes: int) -> dict[str, object]:
    tools = Tools()
    tools.state_dir = Path(os.environ["STEER_STATE_DIR"])
    async with opened_here(tools) as here:
        before = _resident()
        hosts = await here.memory.hosts()
        _, errors = await here.session.connect_all(hosts, hosts)
        if errors:
            raise Void("; ".join(map(str, errors.values())))
        connected = _resident()
        # The first pass over fresh links is the cold one.
        await _pass(here, loaded)
        seconds = [await _pass(here, loaded) for _ in range(passes)]
        after = _resident()
    return {
        "passes": seconds,
        "connected": (connected - before) / MIB,
        "after_passes": (after - before) / MIB,
    }


async def _pass(here: Here, loaded: Loaded) -> float:
    began = time.monotonic()
    applied = await here.controller.apply(loaded.objects)
    seconds = time.monotonic() - began
    _refuse_changes(applied)
    return seconds


def _refuse_changes(applied: Applied) -> None:
    for outcome in applied.outcomes:
        if outcome.error is not None:
            raise outcome.error
        for host in outcome.hosts:
            if host.verdict != "unchanged":
                raise Void(f"{outcome.app} on {host.host}: {host.verdict} {host.error or ''}")


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
