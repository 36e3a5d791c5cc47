"""Starting: `steer --help` beside a bare interpreter and its one import, and opening a kept store.

PYTHONPATH=tests .venv/bin/python -m benchmarks.start
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from steersman.store.sqlite import SqliteStore

OBJECTS = 80


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    bin_folder = Path(sys.executable).parent
    _race(
        rounds,
        {
            "python -c pass": lambda: _cpu_of([sys.executable, "-c", "pass"]),
            "import click": lambda: _cpu_of([sys.executable, "-c", "import click"]),
            "steer --help": lambda: _cpu_of([str(bin_folder / "steer"), "--help"]),
        },
        "CPU ms",
    )
    with tempfile.TemporaryDirectory(prefix="steersman-bench-") as folder:
        asyncio.run(_fill(Path(folder)))
        _race(
            rounds,
            {
                f"sqlite3: {OBJECTS} rows": lambda: _wall_of_rows(Path(folder)),
                f"store: {OBJECTS} objects": lambda: asyncio.run(_wall_of_store(Path(folder))),
            },
            "wall ms",
        )
    return 0


def _race(rounds: int, runners: Mapping[str, Callable[[], float]], unit: str) -> None:
    """Let each run in turn, and print medians and how many times the first one's each is."""
    took: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, run in runners.items():
            took[name].append(run())
    first = next(iter(took.values()))
    print(f"{'':<24}{unit:>10}{'ratio':>8}")
    for name, seconds in took.items():
        ratio = median(each / base for each, base in zip(seconds, first, strict=True))
        print(f"{name:<24}{median(seconds) * 1000:>10.1f}{ratio:>8.1f}")


def _cpu_of(argv: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def _fill(folder: Path) -> None:
    async with SqliteStore(folder) as store:
        for number in range(OBJECTS):
            spec = {"address": f"10.0.0.{number}", "labels": {f"k{n}": "v" * 20 for n in range(20)}}
            host = {"apiVersion": "steersman/v1", "kind": "Host", "spec": spec}
            await store.put({**host, "metadata": {"name": f"h{number}"}})


async def _wall_of_store(folder: Path) -> float:
    began = time.perf_counter()
    async with SqliteStore(folder) as store:
        found = await store.list("Host")
        took = time.perf_counter() - began
    assert len(found) == OBJECTS
    return took


def _wall_of_rows(folder: Path) -> float:
    began = time.perf_counter()
    with sqlite3.connect(folder / "state.db") as database:
        rows = database.execute("SELECT * FROM objects").fetchall()
    assert len(rows) == OBJECTS
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
