"""From stored points to the series that was asked for: pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from steersman.api.errors import SteersmanError
from steersman.telemetry.registry import Entry
from steersman.telemetry.samplefile import KEPT, MINUTE, RAW, Point

How = Literal["avg", "min", "max", "last"]
USUAL_POINTS = 240
LATE = 15.0
"""Seconds after which a sample is here: many a counter is told of only when it has grown."""
HOLE = 3
"""So many steps without a sample are bridged where series are summed, or the sum would dip."""


class BadRange(SteersmanError):
    """A time range that no answer can be given for."""


@dataclass(frozen=True, slots=True)
class Series:
    """Points of time (the start of the step, seconds since the epoch) and value, oldest first."""

    labels: Mapping[str, str]
    points: Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: from `start` until before `end`, both whole steps, of stored `length`.

    What there was until `known` has been told.
    """

    start: int
    end: int
    step: int
    length: int
    is_rate: bool
    by: tuple[str, ...] | None
    how: How
    known: float


def plan(
    now: float,
    start: float | None,
    end: float | None,
    step: int | None,
    *,
    rate: bool,
    by: Sequence[str] | None,
    how: How,
) -> Question:
    """Choose what answers best; raises BadRange."""
    until = now + RAW if end is None else end
    since = until - 3600 if start is None else start
    # What nobody kept needs no looking for, however far back it lies.
    since = max(since, now - max(KEPT.values()))
    until = min(until, now + 600)
    if step is None:
        step = max(RAW, int((until - since) / USUAL_POINTS))
    if step <= 0:
        raise BadRange(f"step {step}: write a number of seconds from {RAW} on")
    is_recent = since >= now - KEPT[RAW] - MINUTE
    length = RAW if is_recent and step < MINUTE else MINUTE
    step = -(-step // length) * length
    first, last = int(since // step) * step, int(-(-until // step)) * step
    named = None if by is None else tuple(by)
    return Question(first, last, step, length, rate, named, how, now - LATE)


def spread(start: float, end: float, grown: float) -> list[tuple[int, float]]:
    """Return when a counter grew between two samples: evenly, as parts by the time of their point.

    A long time in between is told in at most a dozen parts, and of more than the hour in which raw
    points are kept all as if in that.
    """
    start = max(start, end - KEPT[RAW])
    if not grown:
        return []
    if end <= start:
        return [(int(end) // RAW * RAW, grown)]
    length = RAW if end - start <= MINUTE else -int(-(end - start) // (10 * MINUTE)) * MINUTE
    first = int(start) // length * length
    return [
        (t, grown * (min(end, t + length) - max(start, t)) / (end - start))
        for t in range(first, -int(-end // 1), length)
        if t < end
    ]


def answer(question: Question, entries: Sequence[Entry], points: Sequence[Point]) -> list[Series]:
    """Return what was asked, sorted by labels; a series without a point is left out."""
    values = _stepped(question, {entry.id: entry for entry in entries}, points)
    if question.by is not None:
        found = _grouped(question, entries, values)
    else:
        found = [Series(one.labels, sorted(values[one.id].items())) for one in entries]
    return sorted((one for one in found if one.points), key=lambda one: sorted(one.labels.items()))


def _stepped(
    question: Question, entries: Mapping[int, Entry], points: Sequence[Point]
) -> dict[int, dict[int, float]]:
    """Return the value of each series in each step."""
    gathered: dict[int, dict[int, list[Point]]] = {id_: {} for id_ in entries}
    for point in points:
        t = point.t - point.t % question.step
        gathered[point.series].setdefault(t, []).append(point)
    return {id_: dict(_values(question, entries[id_], steps)) for id_, steps in gathered.items()}


def _values(
    question: Question, entry: Entry, steps: Mapping[int, Sequence[Point]]
) -> Iterator[tuple[int, float]]:
    for t, points in steps.items():
        if entry.kind == "gauge":
            yield t, _level(question, points)
            continue
        grown = sum(point.sum for point in points)
        # The newest step is not known to its end: a rate must not seem to fall there.
        known = min(float(question.step), max(entry.seen, question.known) - t)
        if not question.is_rate:
            yield t, grown
        elif known >= question.step / 2:
            yield t, grown / known


def _level(question: Question, points: Sequence[Point]) -> float:
    match question.how:
        case "min":
            return min(point.low for point in points)
        case "max":
            return max(point.high for point in points)
        case "last":
            return points[-1].last
        case "avg":
            return sum(point.sum for point in points) / sum(point.n for point in points)


def _grouped(
    question: Question, entries: Sequence[Entry], values: Mapping[int, Mapping[int, float]]
) -> list[Series]:
    groups: dict[tuple[str, ...], list[Mapping[int, float]]] = {}
    by = question.by or ()
    for entry in entries:
        bridged = values[entry.id]
        if entry.kind == "gauge":
            bridged = _bridged(bridged, question.step)
        groups.setdefault(tuple(entry.labels.get(one, "") for one in by), []).append(bridged)
    combine: Callable[[list[float]], float] = {"min": min, "max": max}.get(question.how, sum)
    made = []
    for names, series in groups.items():
        labels = {label: value for label, value in zip(by, names, strict=True) if value}
        times = sorted({t for each in series for t in each})
        points = [(t, combine([each[t] for each in series if t in each])) for t in times]
        made.append(Series(labels, points))
    return made


def _bridged(values: Mapping[int, float], step: int) -> Mapping[int, float]:
    """Return values with short holes between two of them filled by the one before."""
    filled, before = dict(values), None
    for t in sorted(values):
        if before is not None and step < t - before <= HOLE * step:
            filled.update(dict.fromkeys(range(before + step, t, step), values[before]))
        before = t
    return filled
