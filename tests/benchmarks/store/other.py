"""What it costs to follow a file that another process may write, and how soon that is seen."""

import asyncio
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from steersman.store.sqlite import SqliteStore
from steersman.testing.samples import app

_WRITER = """
import asyncio, sys, time
from pathlib import Path
from steersman.store.sqlite import SqliteStore
from steersman.testing.samples import host

async def main():
    async with SqliteStore(Path(sys.argv[1])) as store:
        for number in range(int(sys.argv[2])):
            await store.put(host(annotations={"at": str(time.time())}))
            await asyncio.sleep(0.023)

asyncio.run(main())
"""


@dataclass(frozen=True)
class Followed:
    """Milliseconds from the beginning of each write to its sight, and shares of a core."""

    lags: list[float]
    idle: float
    unwatched: float


async def follow(writes: int, seconds: float) -> Followed:
    with TemporaryDirectory(dir=Path.cwd() / ".venv") as name:
        folder = Path(name)
        async with SqliteStore(folder) as store:
            made = await store.put(app())
            unwatched = await _cpu(seconds)
            async with aclosing(store.watch(made.resource_version)) as changes:
                waiting = asyncio.ensure_future(anext(changes))
                await asyncio.sleep(0.2)
                idle = await _cpu(seconds)
                argv = [sys.executable, "-c", _WRITER, name, str(writes)]
                other = await asyncio.create_subprocess_exec(*argv)
                lags = []
                for number in range(writes):
                    change = await (waiting if number == 0 else anext(changes))
                    at = float(change.object["metadata"]["annotations"]["at"])
                    lags.append((time.time() - at) * 1e3)
                await other.wait()
    return Followed(lags, idle, unwatched)


async def _cpu(seconds: float) -> float:
    before = time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - before) / seconds
