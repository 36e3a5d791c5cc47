"""What plugins keep of samples: the last value of each series, and how much a counter grew."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from steersman.api.signals import Sample, Signal

MOST_LABELS = 20
MOST_TEXT = 200

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]


def samples_of(batch: Iterable[Signal]) -> list[Sample]:
    """Return the samples of `batch` that are numbers: no text protocol has a word for the rest."""
    return [
        one
        for one in batch
        if isinstance(one, Sample) and _is_number(one.value) and _is_number(one.time)
    ]


def _is_number(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def labels_of(sample: Sample) -> Labels:
    """Return the labels of `sample` in order, cut to size; one without a value is none."""
    said = ((key[:MOST_TEXT], value[:MOST_TEXT]) for key, value in sample.labels.items() if value)
    return tuple(sorted(said)[:MOST_LABELS])


def key_of(sample: Sample) -> Key:
    return sample.name[:MOST_TEXT], labels_of(sample)


def number(value: float) -> str:
    """Return `value` without an exponent, as every reader of numbers understands it."""
    value = float(value)
    exact = Decimal(int(value)) if value.is_integer() else Decimal(repr(value))
    return format(exact, "f")


class Growth:
    """How much counters grew since they were last seen; the least lately seen are forgotten.

    Nothing is known of what a counter counted before it was first seen: it grew by 0 then.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: OrderedDict[Key, float] = OrderedDict()

    def of(self, key: Key, value: float, pending: Mapping[Key, float]) -> float:
        """Return the growth up to `value`, where `pending` was seen but is not kept yet."""
        before = pending.get(key, self._seen.get(key, value))
        # One that is lower than before has begun again at zero.
        grown = value - before if value >= before else value
        return grown if math.isfinite(grown) else 0.0

    def keep(self, seen: Mapping[Key, float]) -> None:
        for key, value in seen.items():
            self._seen[key] = value
            self._seen.move_to_end(key)
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Latest:
    """The last value of a series, and when this process was told it (monotonic seconds)."""

    value: float
    kind: str
    at: float


class Board:
    """The last value of each series, until it has not been seen for `patience` seconds.

    Beyond `most` series new ones are not taken, and counted in `refused`: whoever floods the
    board with names drives out no other.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._most = most
        self._patience = patience
        self._series: OrderedDict[Key, Latest] = OrderedDict()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._series)

    def take(self, key: Key, value: float, kind: str, now: float) -> None:
        if key not in self._series and len(self._series) >= self._most:
            self.forget(now)
            if len(self._series) >= self._most:
                self.refused += 1
                return
        self._series[key] = Latest(value, kind, now)
        self._series.move_to_end(key)

    def value(self, key: Key) -> float:
        """Return the last value of a series, or 0."""
        latest = self._series.get(key)
        return latest.value if latest is not None else 0.0

    def forget(self, now: float) -> None:
        """Let the series go that were not seen for long: the oldest come first."""
        while self._series and next(iter(self._series.values())).at < now - self._patience:
            self._series.popitem(last=False)

    def rows(self, now: float) -> Sequence[tuple[Key, Latest]]:
        """Return a copy of all that is fresh."""
        self.forget(now)
        return tuple(self._series.items())
