"""Real processes on one file: killed at any moment, or all at once."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import aclosing
from pathlib import Path

import pytest

from steersman.store.pages import Place
from steersman.store.sqlite import SqliteStore
from steersman.testing.samples import take
from steersman.testing.watch_laws import replay

WRITER = """
import asyncio, sys
from pathlib import Path
from steersman.store.sqlite import SqliteStore
from steersman.store.versions import Retention

async def write(store, name, number):
    host = {"apiVersion": "steersman/v1", "kind": "Host", "metadata": {"name": name}}
    while True:
        number += 1
        spec = {"number": number, "padding": "x" * 3000}
        made = await store.put({**host, "spec": spec})
        print("put", name, number, made.resource_version, flush=True)
        if number % 5 == 0:
            await store.put_secret(name, {"number": str(number)})
            print("secret", name, number, await store.next_epoch(), flush=True)
        if number % 7 == 0:
            await store.add_event("Host", name, "Normal", "Written", f"number {number}")
            await store.delete("Host", "gone-" + name)
            await store.put({**host, "metadata": {"name": "gone-" + name}, "spec": {}})

async def main():
    async with SqliteStore(Path(sys.argv[1]), retention=Retention(changes=40)) as store:
        await asyncio.gather(*(write(store, f"h{n}", int(sys.argv[2])) for n in range(5)))

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


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    begin = epoch = version = 0
    for _ in range(6):
        said = [
            line.split() for line in killed_after(chance.randint(5, 150), tmp_path / "s", begin)
        ]
        numbers, secrets = defaultdict(int), defaultdict(int)
        for what, name, number, proof in said:
            if what == "put":
                numbers[name], version = int(number), max(version, int(proof))
            else:
                secrets[name], epoch = int(number), max(epoch, int(proof))
        async with SqliteStore(tmp_path / "s") as store:
            assert await store.revision() >= version
            assert await store.next_epoch() > epoch
            for name, acknowledged in numbers.items():
                seen = await store.get("Host", name)
                assert seen is not None
                assert seen.spec["number"] in (acknowledged, acknowledged + 1)
                begin = max(begin, seen.spec["number"])
            for name, acknowledged in secrets.items():
                values = await store.get_secret(name)
                assert values is not None
                assert int(values["number"]) in (acknowledged, acknowledged + 5)
            await log_and_objects_agree(store)


async def log_and_objects_agree(store: SqliteStore) -> None:
    """Go from the oldest revision that is known to the newest: the changes lead to the objects."""
    newest = await store.page()
    oldest = await store.compact(keep=10**9)
    first = await store.page(token=Place(oldest, ("", "")).token)
    known = {(one.kind, one.name): one.object for one in first.items}
    async with aclosing(store.watch(oldest)) as changes:
        for change in await take(changes, newest.revision - oldest):
            replay(known, change)
    assert known == {(one.kind, one.name): one.object for one in newest.items}


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
