"""`make bench`, the store: writes beside aiosqlite's, and with a thousand who watch."""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from benchmarks.say import say
from benchmarks.store.figures import Figures
from benchmarks.store.other import follow
from benchmarks.store.swap import race
from benchmarks.store.watchers import measure
from benchmarks.tools import rivals_bin, version_of
from benchmarks.void import Void

_VENV = Path(sys.prefix) / "bench"
RIVALS = ("aiosqlite", "orjson")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--writers", type=int, default=32, help="at once, as promised")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round of swaps")
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--writes", type=int, default=200, help="in each round with watchers")
    parser.add_argument("--rate", type=float, default=20.0, help="of writes that are watched")
    parser.add_argument("--json", type=Path, help="write every single measurement there")
    chosen = parser.parse_args()
    try:
        figures = _measure(chosen)
    except Void as error:
        sys.stderr.write(f"bench: void: {error}\n")
        return 1
    print(f"\n{figures.table()}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures.as_json(), indent=1) + "\n")
    return 0


def _measure(chosen: argparse.Namespace) -> Figures:
    python = rivals_bin(_VENV, RIVALS) / "python"
    load = os.getloadavg()[0]
    swaps = {}
    for writers in (1, chosen.writers):
        say(f"swapping, {writers} at once")
        swaps[writers] = race(python, writers, chosen.rounds, chosen.seconds)
    rounds, pause = chosen.rounds, 1 / chosen.rate
    say(f"writing with and without {chosen.watchers} who watch")
    paced = asyncio.run(measure(chosen.watchers, chosen.writes, rounds, pause))
    say("the same without a pause")
    flat_out = asyncio.run(measure(chosen.watchers, chosen.writes, rounds, 0))
    say("following another process")
    followed = asyncio.run(follow(writes=100, seconds=5))
    version = version_of(_VENV / "bin", "aiosqlite")
    return Figures(version, load, chosen.writers, swaps, chosen.watchers, paced, flat_out, followed)


if __name__ == "__main__":
    sys.exit(main())
