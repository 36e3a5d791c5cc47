"""Compare-and-swap writes per second, by steersman and by aiosqlite in turn."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.void import Void
from steersman.store.sqlite import SqliteStore
from steersman.testing.samples import host

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Swapped:
    """What one run wrote, and how long that took."""

    writes: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.writes / self.seconds


Rates = Mapping[str, Sequence[float]]
"""Writes per second, one for each round, by the store's name."""


def race(rival: Path, writers: int, rounds: int, seconds: float) -> Rates:
    """Let both write, each on a fresh file of the same schema; raises Void."""
    rates: dict[str, list[float]] = {"steersman": [], "aiosqlite": []}
    for _ in range(rounds):
        for name, python in (("steersman", Path(sys.executable)), ("aiosqlite", rival)):
            with TemporaryDirectory(dir=Path.cwd() / ".venv") as folder:
                rates[name].append(_run(name, python, Path(folder), writers, seconds).rate)
    return rates


def ratio(rates: Rates) -> float:
    return median(rates["steersman"]) / median(rates["aiosqlite"])


def _run(name: str, python: Path, folder: Path, writers: int, seconds: float) -> Swapped:
    asyncio.run(_prepare(folder, writers))
    place = folder if name == "steersman" else folder / "state.db"
    argv = [str(python), str(HERE / f"swap_{name}.py"), str(place), str(writers), str(seconds)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Void(f"{name} failed: {done.stderr[-2000:]}")
    swapped = Swapped(**json.loads(done.stdout))
    _judge(name, folder, writers, swapped.writes)
    return swapped


async def _prepare(folder: Path, writers: int) -> None:
    async with SqliteStore(folder) as store:
        for number in range(writers):
            labels = {"role": "web", "rack": f"r{number}"}
            await store.put(host(f"h{number:03}", address="192.0.2.1", labels=labels))


def _judge(name: str, folder: Path, writers: int, writes: int) -> None:
    """Look into the file: every write that was counted is there, and in the log."""
    with sqlite3.connect(folder / "state.db") as raw:
        rows = raw.execute("SELECT body FROM objects JOIN versions USING (revision)").fetchall()
        logged = raw.execute("SELECT count(*), max(revision) FROM versions").fetchone()
    raw.close()
    bodies = [json.loads(body) for (body,) in rows]
    numbers = sum(body["spec"].get("port", 0) for body in bodies)
    generations = sum(body["metadata"]["generation"] - 1 for body in bodies)
    if not numbers == generations == writes:
        raise Void(f"{name} counted {writes} writes; its objects say {numbers} and {generations}")
    if logged[1] != writers + writes or logged[0] > logged[1]:
        raise Void(f"{name} counted {writes} writes; its log says {logged}")
