"""Two commands on one app take turns, and nobody waits for the dead."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from steersman.store.errors import LeaseHeld, LeaseLost
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


async def test_a_held_name_is_refused_with_its_holder(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "s") as store:
        lease = await store.acquire_lease("app/shop", "steer apply")
        with pytest.raises(LeaseHeld, match=rf"steer apply \(pid {os.getpid()}\)") as refused:
            await store.acquire_lease("app/shop", "steer delete")
        assert refused.value.retryable
        await store.acquire_lease("app/blog", "steer apply")
        await store.release_lease(lease)
        await store.acquire_lease("app/shop", "steer delete")


async def test_a_late_holder_is_replaced_and_told(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "s") as store:
        late = await store.acquire_lease("app/shop", "slow", ttl=0)
        current = await store.acquire_lease("app/shop", "quick")
        with pytest.raises(LeaseLost):
            await store.renew_lease(late)
        await store.release_lease(late)
        await store.renew_lease(current)
        with pytest.raises(LeaseHeld, match="quick"):
            await store.acquire_lease("app/shop", "third")


async def test_renewing_prolongs(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "s") as store:
        lease = await store.acquire_lease("app/shop", "first", ttl=0)
        await store.renew_lease(lease, ttl=60)
        with pytest.raises(LeaseHeld):
            await store.acquire_lease("app/shop", "second")


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
