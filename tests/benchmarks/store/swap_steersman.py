"""Compare-and-swap writes by steersman's store: `swap_steersman.py FOLDER WRITERS SECONDS`."""

import asyncio
import json
import sys
import time
from pathlib import Path

from steersman.store.protocol import Stored
from steersman.store.sqlite import SqliteStore


async def main(folder: Path, writers: int, seconds: float) -> None:
    async with SqliteStore(folder) as store:
        objects = await store.list("Host")
        until = time.perf_counter() + seconds

        async def write(seen: Stored) -> int:
            number = 0
            while time.perf_counter() < until:
                number += 1
                target = {**seen.object, "spec": {**seen.spec, "port": number}}
                seen = await store.put(target, seen.resource_version)
            return number

        began = time.perf_counter()
        done = await asyncio.gather(*map(write, objects[:writers]))
        print(json.dumps({"writes": sum(done), "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
