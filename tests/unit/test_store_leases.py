"""Nobody waits for the dead; what else leases promise is in the laws of stores."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from steersman.store.errors import LeaseHeld
from steersman.store.leases import started
from steersman.store.sqlite import SqliteStore

HOLD = """
import asyncio, sys
from pathlib import Path
from steersman.store.sqlite import SqliteStore

async def main():
    async with SqliteStore(Path(sys.argv[1])) as store:
        await store.acquire_lease("app/shop", "steer apply", ttl=3600)
        print("held", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


@contextmanager
def holding(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that holds the lease of app/shop until it is killed."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield holder


def become_zombie(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and leave its entry in the table: a zombie holds nothing either."""
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


async def test_a_killed_holder_is_replaced_at_once(tmp_path: Path) -> None:
    with holding(tmp_path / "s") as holder:
        async with SqliteStore(tmp_path / "s") as store:
            with pytest.raises(LeaseHeld, match=f"pid {holder.pid}"):
                await store.acquire_lease("app/shop", "steer delete")
            become_zombie(holder)
            await store.acquire_lease("app/shop", "steer delete")


def test_a_process_is_known_by_its_start() -> None:
    mine = started(os.getpid())
    assert mine is not None
    assert int(mine) > 0
    assert started(2**22 + 1) is None
