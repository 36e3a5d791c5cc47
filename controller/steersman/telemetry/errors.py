"""Errors: what goes wrong in apps and with hosts, made of what was heard, and published."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import orjson
import structlog

from steersman.api.mask import Masks
from steersman.api.signals import (
    ErrorReport,
    Exited,
    Happening,
    LogRecord,
    Origin,
    Raised,
    Signal,
)
from steersman.telemetry import grouping
from steersman.telemetry.hub import Hub
from steersman.telemetry.masking import masked
from steersman.telemetry.sources import Sources
from steersman.telemetry.tracebacks import Found, Tracebacks, read_text
from steersman.telemetry.troubles import report_of_happening

log = structlog.get_logger(__name__)

CRUMBS = 20
LONGEST_CRUMB = 500
MOST_INSTANCES = 2_000
MOST_WAITING = 200
LOOP_CRASHES = 3
LOOP_WITHIN = 60.0
"""So many crashes of a process on a host, within so many seconds, are a loop."""
LAST_LINES = 0.25
"""Seconds behind an end, in which the last lines of what ended may come."""
_LONGEST_CAUSE = 5.0
_HEAD = "Traceback (most recent call last):"

Key = tuple[str, str, str, str, int]


@dataclass(slots=True)
class _Instance:
    """What is remembered of one instance: its last lines, and what it raised last."""

    reader: Tracebacks = field(default_factory=Tracebacks)
    crumbs: deque[LogRecord] = field(default_factory=lambda: deque(maxlen=CRUMBS))
    origin: Origin = field(default_factory=Origin)
    raised: tuple[Raised, ...] = ()
    raised_at: float = 0.0
    flush: asyncio.TimerHandle | None = None


class Errors:
    """A sink that turns lines, exits and happenings into ErrorReports of the same Hub.

    Taking a signal costs no waiting; a task of its own adds what the release can say, and a
    bounded number of reports waits for it.
    """

    def __init__(self, hub: Hub, sources: Sources, masks: Masks) -> None:
        self._hub = hub
        self._sources = sources
        self._masks = masks
        self._instances: OrderedDict[Key, _Instance] = OrderedDict()
        self._crashes: OrderedDict[tuple[str, str, str], deque[float]] = OrderedDict()
        self._timers: set[asyncio.TimerHandle] = set()
        self._waiting: asyncio.Queue[ErrorReport] = asyncio.Queue(MOST_WAITING)
        self.dropped = 0
        """How many reports were not made, because too many came at once."""

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Report what is published while the body runs."""
        with self._hub.joined(self.take, LogRecord, Exited, Happening):
            task = asyncio.create_task(self._complete_all(), name="errors")
            try:
                yield
            finally:
                for timer in self._timers:
                    timer.cancel()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def take(self, signal: Signal) -> None:
        """Take a signal; those that tell of nothing wrong cost next to nothing."""
        if isinstance(signal, LogRecord):
            self._take_line(signal)
        elif isinstance(signal, Exited):
            self._take_exit(signal)
        elif isinstance(signal, Happening):
            trouble = report_of_happening(signal)
            if trouble is not None:
                self.report(trouble)

    def report(self, report: ErrorReport) -> None:
        """Have an error published soon: with what its release says, without secret values."""
        try:
            self._waiting.put_nowait(report)
        except asyncio.QueueFull:
            self.dropped += 1
            if self.dropped.bit_count() == 1:
                log.warning("errors_dropped", count=self.dropped)

    def _take_line(self, record: LogRecord) -> None:
        if record.is_system or not record.origin.app:
            return
        key = _key(record.origin)
        instance = self._instance(key, record.origin)
        now = _now()
        found = [each for text in _texts(record) for each in read_text(text, record.time)]
        if "\n" in record.text:
            found += read_text(record.text, record.time)
        else:
            found += instance.reader.line(record.text, record.time, now)
        self._found(instance, found)
        if not instance.reader.took_line and record.text:
            instance.crumbs.append(_crumb(record))
        self._flush_in_time(instance)

    def _flush_in_time(self, instance: _Instance) -> None:
        """Have what is read flushed once it is due, which may be sooner than was thought."""
        deadline, timer = instance.reader.deadline, instance.flush
        if deadline is None or (timer is not None and timer.when() <= deadline):
            return
        if timer is not None:
            timer.cancel()
            self._timers.discard(timer)
        instance.flush = self._later(deadline - _now(), lambda: self._flush(instance))

    def _flush(self, instance: _Instance) -> None:
        instance.flush = None
        self._found(instance, instance.reader.flush(_now()))
        self._flush_in_time(instance)

    def _found(self, instance: _Instance, found: Iterable[Found]) -> None:
        for each in found:
            app = instance.origin.app
            exceptions = grouping.placed(each.exceptions, app)
            instance.raised, instance.raised_at = each.exceptions, _now()
            release = grouping.release_of(each.exceptions, app)
            self.report(
                ErrorReport(
                    time=each.time,
                    origin=replace(instance.origin, release=release or instance.origin.release),
                    kind="exception",
                    title=grouping.title_of(exceptions),
                    fingerprint=grouping.fingerprint_of(app, exceptions),
                    message=exceptions[0].message,
                    exceptions=each.exceptions,
                    breadcrumbs=tuple(instance.crumbs),
                )
            )

    def _take_exit(self, exited: Exited) -> None:
        is_loop = self._is_loop(exited)
        self._later(LAST_LINES, lambda: self._crash(exited, is_loop=is_loop))

    def _crash(self, exited: Exited, *, is_loop: bool) -> None:
        instance = self._instance(_key(exited.origin), exited.origin)
        self._found(instance, instance.reader.close())
        is_fresh = _now() - instance.raised_at <= _LONGEST_CAUSE
        self.report(
            ErrorReport(
                time=exited.time,
                origin=exited.origin,
                kind="crash-loop" if is_loop else "oom" if exited.is_oom else "crash",
                title=grouping.title_of_exit(exited, is_loop=is_loop),
                fingerprint=grouping.fingerprint_of_exit(exited),
                level="critical" if is_loop else "error",
                exceptions=instance.raised if is_fresh else (),
                exited=exited,
                breadcrumbs=tuple(instance.crumbs),
            )
        )

    def _is_loop(self, exited: Exited) -> bool:
        origin = exited.origin
        key = origin.host, origin.app, origin.process
        times = self._crashes.setdefault(key, deque(maxlen=LOOP_CRASHES))
        self._crashes.move_to_end(key)
        while len(self._crashes) > MOST_INSTANCES:
            self._crashes.popitem(last=False)
        times.append(exited.time)
        return len(times) == LOOP_CRASHES and times[-1] - times[0] <= LOOP_WITHIN

    def _instance(self, key: Key, origin: Origin) -> _Instance:
        instance = self._instances.get(key)
        if instance is None:
            instance = self._instances[key] = _Instance(origin=origin)
            while len(self._instances) > MOST_INSTANCES:
                _, oldest = self._instances.popitem(last=False)
                self._found(oldest, oldest.reader.close())
        self._instances.move_to_end(key)
        return instance

    def _later(self, seconds: float, work: Callable[[], None]) -> asyncio.TimerHandle:
        def run() -> None:
            self._timers.discard(timer)
            work()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)
        return timer

    async def _complete_all(self) -> None:
        while True:
            report = await self._waiting.get()
            try:
                report = await self._completed(report)
            except Exception:
                log.exception("error_not_completed", title=self._masks.text(report.title))
            self._hub.publish(masked(report, self._masks))

    async def _completed(self, report: ErrorReport) -> ErrorReport:
        """Return the report with its commit, and with source around its frames."""
        origin, app = report.origin, report.origin.app
        commit = origin.commit or await self._sources.commit(app, origin.release)
        exceptions: Sequence[Raised] = report.exceptions
        if exceptions:
            exceptions = await self._sources.around(origin.host, app, exceptions)
        return replace(
            report,
            origin=replace(origin, commit=commit),
            exceptions=grouping.placed(exceptions, app),
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _key(origin: Origin) -> Key:
    return origin.host, origin.app, origin.process, origin.instance, origin.release


def _crumb(record: LogRecord) -> LogRecord:
    if len(record.text) <= LONGEST_CRUMB and not record.fields:
        return record
    return replace(record, text=record.text[:LONGEST_CRUMB], fields={})


def _texts(record: LogRecord) -> Iterable[str]:
    """Return the fields of a JSON line that hold a traceback, whatever their names."""
    if not record.fields:
        return ()
    found = [v for v in record.fields.values() if isinstance(v, str) and _HEAD in v]
    return [text for value in found for text in _inside(value)]


def _inside(value: str) -> Iterator[str]:
    """Yield the texts of a field; one that was a mapping itself is JSON still."""
    try:
        waiting: list[object] = [orjson.loads(value)]
    except orjson.JSONDecodeError:
        waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict | list):
            waiting += each.values() if isinstance(each, dict) else each
