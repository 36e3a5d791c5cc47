"""Real processes on one file: killed at any moment, or all at once."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steersman.store.sqlite import SqliteStore

WRITER = """
import asyncio, sys
from pathlib import Path
from steersman.store.sqlite import SqliteStore

async def main():
    host = {"apiVersion": "steersman/v1", "kind": "Host", "metadata": {"name": "h1"}}
    async with SqliteStore(Path(sys.argv[1])) as store:
        for number in range(int(sys.argv[2]), 10**9):
            await store.put({**host, "spec": {"number": number, "padding": "x" * 3000}})
            await store.put_secret("s", {"number": str(number)})
            epoch = await store.next_epoch()
            print(number, epoch, flush=True)

asyncio.run(main())
"""

CLIMBER = """
import asyncio, sys
from pathlib import Path
from steersman.store.errors import Conflict
from steersman.store.sqlite import SqliteStore

async def climb(store):
    seen = await store.get("Host", "h1")
    count = seen.spec["count"] if seen is not None else 0
    host = {"apiVersion": "steersman/v1", "kind": "Host", "metadata": {"name": "h1"}}
    host["spec"] = {"count": count + 1}
    try:
        await store.put(host, seen.resource_version if seen is not None else 0)
    except Conflict:
        await climb(store)

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(5):
        async with SqliteStore(Path(sys.argv[1])) as store:
            for _ in range(5):
                await climb(store)
                print(await store.next_epoch(), flush=True)

asyncio.run(main())
"""


def killed_after(lines: int, folder: Path, start: int) -> list[str]:
    """Run a writer, kill it once it has acknowledged some writes, return what it acknowledged."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(start)], stdout=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.readlines()
    return [line for line in said if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    number = epoch = 0
    for _ in range(8):
        acknowledged = killed_after(chance.randint(1, 60), tmp_path / "s", number + 1)
        number, epoch = map(int, acknowledged[-1].split())
        async with SqliteStore(tmp_path / "s") as store:
            seen = await store.get("Host", "h1")
            secret = await store.get_secret("s")
            assert seen is not None
            assert secret is not None
            assert seen.spec["number"] in (number, number + 1)
            assert int(secret["number"]) in (number, number + 1)
            number = seen.spec["number"]
            assert seen.generation == number
            assert await store.next_epoch() > epoch


async def test_many_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CLIMBER, str(tmp_path / "s")]
    racers = [
        await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(5)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert await racer.stdout.readline() == b"ready\n"
    said = await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))
    assert [racer.returncode for racer in racers] == [os.EX_OK] * 5
    epochs = [int(line) for out, _ in said for line in out.split()]
    assert sorted(epochs) == list(range(1, 126))
    async with SqliteStore(tmp_path / "s") as store:
        seen = await store.get("Host", "h1")
    assert seen is not None
    assert seen.spec == {"count": 125}
