"""A full resync of many hosts and apps, and of ten times as many.

    python -m benchmarks.fleet [--hosts 100] [--times 10] [--rounds 3] [--json FILE]

Each host has five apps. Everything is the daemon's but the links: they lead to hosts in memory,
which obey the steps and object to careless ones as the laws' do.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.fleet.berth import BerthSession, fleet_of
from benchmarks.say import say
from laws.fleet import FakeArtifacts
from steersman.control.apply import Controller
from steersman.control.drift import Drift
from steersman.control.keeper import Keeper
from steersman.control.keeping import Apps
from steersman.server.daemon import collect_rarely
from steersman.store.sqlite import SqliteStore

APPS = 5
PASSES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description="What looking after many hosts costs.")
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3, help="of both, in turn")
    parser.add_argument("--json", type=Path, help="Write the figures there as well.")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one is not None:
        print(json.dumps(asyncio.run(_measure(chosen.one))))
        return
    sizes = (chosen.hosts, chosen.hosts * chosen.times)
    rounds = [[_child(hosts) for hosts in sizes] for _ in range(chosen.rounds)]
    few, many = (_median(figures) for figures in zip(*rounds, strict=True))
    ratio = many["seconds"] / few["seconds"]
    for each in (few, many):
        print(
            f"{each['hosts']:>6} hosts, {each['hosts'] * APPS:>6} apps: a full resync takes"
            f" {each['seconds']:.2f} s, {each['mib']:.0f} MiB in all"
        )
    print(f"medians of {chosen.rounds} rounds with {PASSES} passes each, in turn;", end=" ")
    print(f"{chosen.times} times as many cost {ratio:.1f} times as much", end="; ")
    is_met = ratio <= 1.1 * chosen.times and many["mib"] <= 1024
    print(f"target: at most {1.1 * chosen.times:.0f} and 1 GiB: {'met' if is_met else 'MISSED'}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"few": few, "many": many, "rounds": rounds}))


def _median(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return sorted(figures, key=lambda each: each["seconds"])[len(figures) // 2]


def _child(hosts: int) -> dict[str, Any]:
    """Measure in a process of its own, so that its memory is."""
    argv = [sys.executable, "-m", "benchmarks.fleet", "--one", str(hosts)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


async def _measure(hosts: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with SqliteStore(Path(folder) / "state") as store:
            names = await fill(store, hosts)
            session: Any = BerthSession(fleet_of(hosts), store)
            controller = Controller(session, FakeArtifacts())  # type: ignore[arg-type]
            session.memory.keep_views()
            apps = Apps(session, controller, Drift(session, FakeArtifacts()), lambda key: None)  # type: ignore[arg-type]
            await pass_over(apps, names, asked=True)
            say(f"{hosts} hosts: {len(names)} apps are deployed")
            collect_rarely()
            seconds = sorted([await pass_over(apps, names, asked=False) for _ in range(PASSES)])
    return {"hosts": hosts, "seconds": seconds[PASSES // 2], "mib": _resident()}


async def fill(store: SqliteStore, hosts: int) -> list[str]:
    names = [f"a{host}-{number}" for host in range(hosts) for number in range(APPS)]
    for host in range(hosts):
        spec: dict[str, Any] = {"address": f"h{host}.example.com"}
        labels = {"cell": f"c{host}"}
        await store.put(_object("Host", f"h{host}", spec, labels))
    for name in names:
        spec = {
            "source": {"path": "/good"},
            "processes": {"web": {"command": "gunicorn shop.wsgi", "port": "http"}},
            "routes": [{"host": f"{name}.example.com", "process": "web"}],
            "placement": {"selector": {"cell": f"c{name[1:].partition('-')[0]}"}},
        }
        await store.put(_object("App", name, spec, {}))
    return names


def _object(kind: str, name: str, spec: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "steersman/v1", "kind": kind, "metadata": metadata, "spec": spec}


async def pass_over(apps: Apps, names: list[str], *, asked: bool) -> float:
    """Look at every app, as the daemon's keeper does; return the seconds that this took."""
    left, over = set(names), asyncio.Event()

    async def look(name: str, is_asked: bool) -> None:
        await apps.app(name, is_asked)
        left.discard(name)
        if not left:
            over.set()

    keeper = Keeper({"App": look})
    working = asyncio.create_task(keeper.run())
    began = time.monotonic()
    for name in names:
        keeper.wake(f"App/{name}", asked=asked)
    await over.wait()
    seconds = time.monotonic() - began
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    if keeper.healths:
        raise RuntimeError(f"not all are well: {next(iter(keeper.healths.items()))}")
    return seconds


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
