"""Writes with and without a thousand who watch; and what comes from another process."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.void import Void
from steersman.store.protocol import Watch
from steersman.store.sqlite import SqliteStore
from steersman.testing.samples import app


@dataclass
class Written:
    """Milliseconds that each write took, with and without watchers, and that watchers waited."""

    without: list[float] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)

    def slower(self, share: float) -> float:
        """How much slower writes are when watched, at a percentile: 0.1 is 10 %."""
        return percentile(self.watched, share) / percentile(self.without, share) - 1


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


async def measure(watchers: int, writes: int, rounds: int, pause: float) -> Written:
    """Write `writes` times in each round, `pause` seconds apart, alone and watched by turns."""
    written = Written()
    with TemporaryDirectory(dir=Path.cwd() / ".venv") as folder:
        async with SqliteStore(Path(folder)) as store:
            await store.put(app())
            await _write(store, writes, pause)
            for number in range(rounds):
                # By turns first and second, so that neither always finds the larger file.
                for is_watched in (number % 2 == 0, number % 2 == 1):
                    if is_watched:
                        written.watched += await _watched(store, watchers, writes, pause, written)
                    else:
                        written.without += await _write(store, writes, pause)
    return written


async def _watched(
    store: SqliteStore, watchers: int, writes: int, pause: float, written: Written
) -> list[float]:
    since = await store.revision()
    async with AsyncExitStack() as stack:
        watches = [store.watch(since) for _ in range(watchers)]
        for watch in watches:
            await stack.enter_async_context(aclosing(watch))
        sent: dict[int, float] = {}
        listening = [asyncio.create_task(_listen(one, writes, since)) for one in watches[:-1]]
        probe = asyncio.create_task(_probe(watches[-1], writes, sent))
        await asyncio.sleep(1)
        took = await _write(store, writes, pause, sent)
        async with asyncio.timeout(60):
            await asyncio.gather(*listening)
            written.lags += await probe
    return took


async def _listen(watch: Watch, writes: int, since: int) -> None:
    for revision in range(since + 1, since + writes + 1):
        change = await anext(watch)
        if change.revision != revision:
            raise Void(f"a watcher heard of {change.revision} where {revision} was due")


async def _probe(watch: Watch, writes: int, sent: dict[int, float]) -> list[float]:
    lags = []
    for _ in range(writes):
        change = await anext(watch)
        lags.append((time.perf_counter() - sent.get(change.revision, time.perf_counter())) * 1e3)
    return lags


async def _write(
    store: SqliteStore, writes: int, pause: float, sent: dict[int, float] | None = None
) -> list[float]:
    took = []
    for _ in range(writes):
        if pause:
            await asyncio.sleep(pause)
        began = time.perf_counter()
        made = await store.put_status("App", "shop", {"observedGeneration": time.time_ns()})
        ended = time.perf_counter()
        took.append((ended - began) * 1e3)
        if sent is not None:
            sent[made.resource_version] = ended
    return took
