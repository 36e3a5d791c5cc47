"""What was measured in the last 24 hours, kept in samples.db and asked for as series."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from steersman.api.signals import Sample, Signal
from steersman.store.errors import StoreError
from steersman.store.sidefile import SideFile
from steersman.telemetry import samplefile
from steersman.telemetry.hub import Hub
from steersman.telemetry.registry import Entry, Kind, Registry, is_sound
from steersman.telemetry.samplefile import KEPT, MINUTE, RAW, Point
from steersman.telemetry.sampling import LATE, How, Question, Series, answer, plan, spread

log = structlog.get_logger(__name__)

FILE = "samples.db"
Why = Literal["bad", "late", "too many series", "not stored"]
Visible = Callable[[Mapping[str, str]], bool]


def everything(labels: Mapping[str, str]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: series, bytes on the disk, and points that wait to be written."""

    series: int = 10_000
    size: int = 512 * 1024 * 1024
    waiting: int = 60_000
    every: float = 5.0
    """Seconds between writes: what a crash of this machine may lose."""


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest value of a series, and when that was."""

    labels: Mapping[str, str]
    time: float
    value: float


class Samples:
    """A sink that keeps samples. It never waits: a task of its own writes what has gathered."""

    def __init__(
        self,
        path: Path,
        bounds: Bounds | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bounds = bounds if bounds is not None else Bounds()
        self._file = SideFile(path, samplefile.layout(self._bounds.size))
        self._clock = clock
        self._registry = Registry(self._bounds.series)
        self._waiting: dict[tuple[int, int], Point] = {}
        self._touched: dict[int, Entry] = {}
        self._unsummed: set[int] = set()
        self._is_loaded = False
        self._writing = asyncio.Lock()
        self._tidied = -math.inf
        self.dropped: Counter[Why] = Counter()
        """How many samples were not kept, and why."""

    @asynccontextmanager
    async def keeping(self, hub: Hub) -> AsyncIterator[None]:
        """Keep every sample that is published while the body runs."""
        await self._flushed()
        with hub.joined(self.take, Sample):
            task = asyncio.create_task(self._keep_writing(), name="samples")
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._flushed(is_asked=True)
        await self._file.close()

    def take(self, signal: Signal) -> None:
        """Take a sample to be written soon; other signals are no concern of ours."""
        if not isinstance(signal, Sample):
            return
        if not is_sound(signal) or not -600 <= self._clock() - signal.time < KEPT[RAW]:
            self.dropped["bad"] += 1
        elif not self._is_loaded or len(self._waiting) >= self._bounds.waiting:
            self.dropped["not stored"] += 1
        elif (entry := self._registry.find(signal)) is None:
            self.dropped["too many series"] += 1
        elif entry.kind == "counter" and signal.time < entry.seen:
            self.dropped["late"] += 1
        else:
            self._add(entry, signal)

    def names(self, visible: Visible = everything) -> Mapping[str, Kind]:
        """Return the names that there are series of, with their kinds."""
        names = self._registry.names()
        if visible is everything:
            return names
        seen = {entry.name for entry in self._registry if visible(entry.labels)}
        return {name: kind for name, kind in names.items() if name in seen}

    def latest(
        self, name: str, match: Mapping[str, str] | None = None, visible: Visible = everything
    ) -> list[Latest]:
        """Return the newest value of each series of the name that has these labels.

        A label that `match` has as "" is one that the series is not to have.
        """
        found = self._registry.named(name, match or {})
        return [Latest(one.labels, one.seen, one.last) for one in found if visible(one.labels)]

    async def series(
        self,
        name: str,
        match: Mapping[str, str] | None = None,
        start: float | None = None,
        end: float | None = None,
        step: int | None = None,
        *,
        rate: bool = False,
        by: Sequence[str] | None = None,
        how: How = "avg",
        visible: Visible = everything,
    ) -> list[Series]:
        """Return the series of a name as points, one every `step` seconds where there was a sample.

        Unless said, it is the last hour in steps that make at most 240 points. A counter is given
        as its growth in each step, or per second with `rate`, and survives being begun anew; of a
        gauge, `how` says what of a step is given. With `by`, series that are alike in these labels
        are summed (for `how` min and max: the least and the largest of them), and have no others.
        """
        entries = self._registry.named(name, match or {})
        entries = [one for one in entries if visible(one.labels)]
        question = plan(self._clock(), start, end, step, rate=rate, by=by, how=how)
        if not entries:
            return []
        return answer(question, entries, await self._points(question, entries))

    async def _points(self, question: Question, entries: Sequence[Entry]) -> list[Point]:
        await self._flushed(is_asked=question.length == MINUTE)
        ids = sorted(entry.id for entry in entries)
        length, start, end = question.length, question.start, question.end
        return await self._file.read(
            lambda session: samplefile.read(session, length, ids, start, end)
        )

    def _add(self, entry: Entry, sample: Sample) -> None:
        """Add a sample to the point of its time; a counter's growth to the points until then."""
        value, t = sample.value, int(sample.time) // RAW * RAW
        if entry.kind == "counter":
            # One that is lower has begun again from nothing; the first says only where it stood.
            grown = 0.0 if math.isnan(entry.last) else value - entry.last
            grown = value if grown < 0 else grown
            for at, part in spread(entry.seen, sample.time, grown):
                self._put(Point(at, entry.id, value, value, part, 0, value))
        self._put(Point(t, entry.id, value, value, value if entry.kind == "gauge" else 0, 1, value))
        self._touched[entry.id] = entry
        if sample.time >= entry.seen:
            entry.last, entry.seen = value, sample.time

    def _put(self, point: Point) -> None:
        key = point.t, point.series
        known = self._waiting.get(key)
        if known is not None:
            low, high = min(known.low, point.low), max(known.high, point.high)
            total, n = known.sum + point.sum, known.n + point.n
            point = Point(*key, low, high, total, n, point.last)
        self._waiting[key] = point

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._bounds.every)
            try:
                await self._flushed()
            except Exception:
                log.exception("samples_failed")

    async def _flushed(self, *, is_asked: bool = False) -> None:
        """Write what has gathered; a failure is logged, and what could not be written counted.

        Minutes are rolled up once they are over, or when they are asked for.
        """
        async with self._writing:
            try:
                await self._load()
                await self._write(is_asked=is_asked)
            except StoreError as error:
                log.warning("samples_not_stored", why=str(error))

    async def _load(self) -> None:
        if not self._is_loaded:
            entries, last_id, unsummed = await self._file.write(samplefile.load)
            self._registry.remember(entries, last_id)
            self._unsummed.update(unsummed)
            self._is_loaded = True

    async def _write(self, *, is_asked: bool) -> None:
        points, entries = list(self._waiting.values()), list(self._touched.values())
        self._waiting, self._touched = {}, {}
        now = self._clock()
        self._unsummed.update(point.t - point.t % MINUTE for point in points)
        over = sorted(t for t in self._unsummed if is_asked or t + MINUTE + LATE <= now)
        try:
            if points or over:
                await self._file.write(lambda s: samplefile.write(s, entries, points, over))
                self._unsummed.difference_update(over)
        except StoreError:
            self.dropped["not stored"] += sum(point.n for point in points)
            raise
        finally:
            if now - self._tidied >= MINUTE:
                self._tidied = now
                await self._tidy(now)

    async def _tidy(self, now: float) -> None:
        self._registry.forget_before(now - max(KEPT.values()))
        forgotten, self._registry.forgotten = self._registry.forgotten, []
        most = self._bounds.size
        cut = await self._file.write(lambda s: samplefile.tidy(s, now, most, forgotten))
        if cut:
            log.warning(
                "samples_cut_short", points=cut, why=f"{FILE} may take {most} bytes; oldest went"
            )
