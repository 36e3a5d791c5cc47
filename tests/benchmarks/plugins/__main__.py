"""What plugins that misbehave cost the reconciles of a daemon.

    python -m benchmarks.plugins [--hosts 20] [--rounds 60] [--json FILE]

Full resyncs of fake hosts (five apps each) with log lines for each pass and app, with two good
plugins and with a good and a bad one. All is the daemon's but the links.
"""

import argparse
import asyncio
import json
import logging
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from benchmarks.fleet.__main__ import fill, pass_over
from benchmarks.fleet.berth import BerthSession, fleet_of
from benchmarks.say import say
from laws.fleet import FakeArtifacts
from steersman.api.plugin import Plugin
from steersman.api.signals import LogRecord, Origin
from steersman.control.apply import Controller
from steersman.control.drift import Drift
from steersman.control.keeping import Apps
from steersman.control.memory import Memory
from steersman.control.vault import Vault
from steersman.sealing.keyring import Keyring
from steersman.server.daemon import collect_rarely
from steersman.store.sqlite import SqliteStore
from steersman.telemetry.hub import Hub
from steersman.telemetry.shipping import Shipping

PASSES = 8
MOST, LEAST = 0.02, 6
WAYS = ("hangs", "raises", "is slow")
Took = tuple[float, float]
"""Seconds on the clock, and of this process's CPU."""
LINES = 20
"""Log lines in each pass and for each app."""


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parser = argparse.ArgumentParser(description="What bad plugins cost reconciles.")
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS)
    parser.add_argument("--json", type=Path, help="Write every measurement there.")
    chosen = parser.parse_args()
    if chosen.rounds < LEAST:
        parser.error(f"--rounds {chosen.rounds}: nothing is certain of fewer than {LEAST}")
    with tempfile.TemporaryDirectory(prefix="steer-plugins-") as folder:
        _install(Path(folder))
        found = {
            way: asyncio.run(_measure(way, chosen.hosts, chosen.rounds)) for way in chosen.ways
        }
    for way, pairs in found.items():
        usual = statistics.median(good[0] for good, _ in pairs) / PASSES / 2
        print(f"a plugin that {way}: a resync of {usual * 1000:.0f} ms takes")
        for what, at in (("on the clock", 0), ("of CPU", 1)):
            print(f"  {_said([bad[at] / good[at] - 1 for good, bad in pairs])} {what}")
    print("than with a good one in its place: medians, and where they are with 95 % of certainty;")
    print(f"{chosen.rounds} rounds, load {os.getloadavg()[0]:.1f}, which the clock tells of too")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"load": os.getloadavg()[0], "pairs": found}))


def _said(more: list[float]) -> str:
    low, high = interval(more)
    verdict = "met" if high < MOST else "MISSED" if low >= MOST else "not told from it"
    middle = statistics.median(more)
    return f"{middle:+.1%} ({low:+.1%} to {high:+.1%}; target: below {MOST:+.0%}: {verdict})"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return between which two values their median is, with 95 % of certainty.

    So many at either end are left out as a coin hardly ever shows one side only so seldom.
    """
    ordered, count = sorted(values), len(values)
    out, chance = 0, 0.5**count
    while chance <= 0.025:
        out += 1
        chance += math.comb(count, out) * 0.5**count
    out = max(out, 1)
    return ordered[out - 1], ordered[-out]


def _install(folder: Path) -> None:
    """Make the type `bad` known to this process and to those of plugins."""
    info = folder / "bench_bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[steersman.plugins]\nbad = benchmarks.plugins.bad:Bad\n"
    )
    sys.path.insert(0, str(folder))


async def _measure(way: str, hosts: int, rounds: int) -> list[tuple[Took, Took]]:
    """Return how long passes took by rounds: with two good plugins, and with the bad one."""
    say(f"a plugin that {way}")
    with tempfile.TemporaryDirectory() as folder:
        async with SqliteStore(Path(folder) / "state") as store:
            names = await fill(store, hosts)
            session: Any = BerthSession(fleet_of(hosts), store)
            controller = Controller(session, FakeArtifacts())  # type: ignore[arg-type]
            session.memory.keep_views()
            apps = Apps(session, controller, Drift(session, FakeArtifacts()), lambda key: None)  # type: ignore[arg-type]
            await pass_over(apps, names, asked=True)
            collect_rarely()
            pairs = []
            for number in range(rounds):
                # In an order in which a machine that gets slower, or faster, favours neither.
                order = ("ships", way, way, "ships") if number % 2 else (way, "ships", "ships", way)
                took: dict[str, list[Took]] = {"ships": [], way: []}
                for other in order:
                    took[other].append(await _round(apps, names, ("ships", other), folder))
                pairs.append((_sum(took["ships"]), _sum(took[way])))
            return pairs


def _sum(times: Sequence[Took]) -> Took:
    clock, cpu = map(sum, zip(*times, strict=True))
    return clock, cpu


async def _round(apps: Apps, names: list[str], ways: tuple[str, ...], folder: str) -> Took:
    """Return how long some passes took, with lines of every app shipped meanwhile."""
    clock = cpu = 0.0
    async with _shipping(ways, Path(folder)) as hub:
        for number in range(-1, PASSES):
            for name in names:
                line = LogRecord(time=time.time(), origin=Origin(app=name), text="a line of a log")
                for _ in range(LINES):
                    hub.publish(line)
            before = time.process_time()
            seconds = await pass_over(apps, names, asked=False)
            if number >= 0:
                clock, cpu = clock + seconds, cpu + time.process_time() - before
    return clock, cpu


@asynccontextmanager
async def _shipping(ways: tuple[str, ...], folder: Path) -> AsyncIterator[Hub]:
    """Yield a hub that ships to plugins which behave in these ways, and have started."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        async with SqliteStore(Path(own)) as store:
            memory, hub = Memory(store), Hub()
            for number, way in enumerate(ways):
                spec = {"type": "bad", "config": {"how": way}, "timeout": "1h"}
                data = {"metadata": {"name": f"p{number}"}, "spec": spec}
                await memory.put(Plugin.model_validate(data))
            vault = Vault(memory, Keyring(Path(own) / "key.txt"))
            async with Shipping(memory, vault, hub, least=0.01, closing=0.05).running():
                await _started(store)
                yield hub


async def _started(store: SqliteStore) -> None:
    """Wait until every plugin has said what it takes."""
    async with aclosing(store.watch(0, idle=0.1)) as changes:
        while not all(one.status.get("signals") for one in await store.list("Plugin")):
            await anext(changes)


if __name__ == "__main__":
    main()
