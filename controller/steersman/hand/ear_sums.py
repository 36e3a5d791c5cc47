"""StatsD's metrics of one process, summed up between two intervals in bounded memory.

Part of the ear; imports nothing of ours but ear_lines.
"""

from __future__ import annotations

import heapq
import math

from .ear_lines import Malformed, is_skipped, read_meta, read_name, read_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Tuple

    # name, value, labels, kind, and whether it belongs to the interval's begin.
    Row = Tuple[str, float, Dict[str, str], str, bool]

QUANTILES = (0.5, 0.9, 0.99)
# Quantiles are within 2 % of the value: each bucket is 4 % wider than the one below it.
WIDTH = math.log(1.04)
MOST_BUCKETS = 400
SMALLEST = 1e-9
KEPT_HASHES = 512
# Intervals without a value after which a series is forgotten.
REST = 30
# Intervals after which a counter of what came is told again, although it stands where it stood.
RARELY = 12


class Sketch:
    """Quantiles from counts by the logarithm of the value; the lowest are merged beyond a bound."""

    def __init__(self) -> None:
        self._buckets: Dict[int, float] = {}
        self._count = 0.0

    def add(self, value: float, weight: float) -> None:
        size = abs(value)
        index = 0 if size < SMALLEST else 1 + int(math.log(size / SMALLEST) / WIDTH)
        if value < 0:
            index = -index
        self._buckets[index] = self._buckets.get(index, 0.0) + weight
        self._count += weight
        if len(self._buckets) > MOST_BUCKETS:
            lowest, second = heapq.nsmallest(2, self._buckets)
            self._buckets[second] += self._buckets.pop(lowest)

    def quantile(self, part: float) -> float:
        below = 0.0
        index = 0
        for index in sorted(self._buckets):
            below += self._buckets[index]
            if below >= part * self._count:
                break
        if index == 0:
            return 0.0
        size = SMALLEST * math.exp((abs(index) - 0.5) * WIDTH)
        return size if index > 0 else -size


class Count:
    """How many so far. It only grows: a negative value is refused."""

    def __init__(self, name: str, labels: Dict[str, str]) -> None:
        self.name = name if name.endswith("_total") else name + "_total"
        self.labels = labels
        self.total = 0.0
        self.is_new = True

    def add(self, raw: bytes, rate: float) -> None:
        value = read_value(raw)
        if value < 0:
            raise Malformed(raw)
        self.total += value / rate

    def rows(self) -> List[Row]:
        first = [(self.name, 0.0, self.labels, "counter", True)] if self.is_new else []
        self.is_new = False
        return [*first, (self.name, self.total, self.labels, "counter", False)]


class Level:
    """A gauge: what it was set to, and changed by since (`+1`, `-1`)."""

    def __init__(self, name: str, labels: Dict[str, str]) -> None:
        self.name = name
        self.labels = labels
        self.value = 0.0

    def add(self, raw: bytes, rate: float) -> None:
        value = read_value(raw)
        self.value = self.value + value if raw[:1] in (b"+", b"-") else value

    def rows(self) -> List[Row]:
        return [(self.name, self.value, self.labels, "gauge", False)]


class Spread:
    """A histogram or distribution: quantiles of each interval, sum and count so far."""

    scale = 1.0

    def __init__(self, name: str, labels: Dict[str, str]) -> None:
        self.name = self._named(name)
        self.labels = labels
        self.sketch: Optional[Sketch] = None
        self.sum = self.count = 0.0
        self.is_new = True

    def _named(self, name: str) -> str:
        return name

    def add(self, raw: bytes, rate: float) -> None:
        value = read_value(raw) * self.scale
        if self.sketch is None:
            self.sketch = Sketch()
        self.sketch.add(value, 1 / rate)
        self.sum += value / rate
        self.count += 1 / rate

    def rows(self) -> List[Row]:
        made: List[Row] = []
        sums = ((self.name + "_sum", self.sum), (self.name + "_count", self.count))
        for name, value in sums:
            if self.is_new:
                made.append((name, 0.0, self.labels, "counter", True))
            made.append((name, value, self.labels, "counter", False))
        self.is_new = False
        if self.sketch is not None:
            for part in QUANTILES:
                labels = {**self.labels, "quantile": "%g" % part}
                made.append((self.name, self.sketch.quantile(part), labels, "gauge", False))
            self.sketch = None
        return made


class Timing(Spread):
    """A timer: milliseconds, given on in seconds."""

    scale = 0.001

    def _named(self, name: str) -> str:
        return name if name.endswith("_seconds") else name + "_seconds"


class Different:
    """A set: how many different values an interval had; of many, within about 5 %."""

    def __init__(self, name: str, labels: Dict[str, str]) -> None:
        self.name = name
        self.labels = labels
        self._smallest: Dict[int, None] = {}
        self._heap: List[int] = []

    def add(self, raw: bytes, rate: float) -> None:
        if not raw:
            raise Malformed(raw)
        # Python seeds this for each process: nobody can choose values that collide.
        hashed = hash(raw) & 0xFFFFFFFFFFFFFFFF
        if hashed in self._smallest:
            return
        if len(self._heap) < KEPT_HASHES:
            heapq.heappush(self._heap, -hashed)
        elif hashed < -self._heap[0]:
            del self._smallest[-heapq.heappushpop(self._heap, -hashed)]
        else:
            return
        self._smallest[hashed] = None

    def rows(self) -> List[Row]:
        many = len(self._heap)
        if many == KEPT_HASHES:
            many = round((KEPT_HASHES - 1) * 2.0**64 / -self._heap[0])
        self._smallest, self._heap = {}, []
        return [(self.name, float(many), self.labels, "gauge", False)]


KINDS: Dict[str, Any] = {
    "c": Count,
    "g": Level,
    "ms": Timing,
    "h": Spread,
    "s": Different,
}


class Room:
    """How many more series an app may have."""

    def __init__(self, most: int) -> None:
        self.left = most


class Sums:
    """All series of one process; `labels` say which it is."""

    def __init__(self, labels: Dict[str, str], room: Room) -> None:
        self._labels = labels
        self._room = room
        self._series: Dict[Tuple[str, str, Any], Any] = {}
        self._rested: Dict[Tuple[str, str, Any], int] = {}
        # From the bytes around a value to its series and rate: most lines are like one before.
        self._known: Dict[Tuple[bytes, bytes], Tuple[Any, float, Tuple[str, str, Any]]] = {}
        self.told = dict.fromkeys(("datagrams", "malformed", "skipped", "overflow", "dropped"), 0)
        self._said: Dict[str, Tuple[int, int]] = {}
        self._turn = 0

    def take(self, datagram: bytes) -> None:
        """Add what a datagram says, line by line."""
        self.told["datagrams"] += 1
        for line in datagram.split(b"\n"):
            if not line:
                continue
            head, _, rest = line.partition(b":")
            value, _, meta = rest.partition(b"|")
            try:
                self._add(head, value, meta)
            except (ValueError, OverflowError):
                self.told["skipped" if is_skipped(head) else "malformed"] += 1

    def _add(self, head: bytes, value: bytes, meta: bytes) -> None:
        known = self._known.get((head, meta))
        if known is None:
            known = self._find(head, meta)
        series, rate, key = known
        is_new = key not in self._series
        if is_new and self._room.left <= 0:
            self.told["overflow"] += 1
            return
        if b":" in value and not isinstance(series, Different):
            for each in value.split(b":"):
                series.add(each, rate)
        else:
            series.add(value, rate)
        # Only now: a value that is none makes no series.
        if is_new:
            self._room.left -= 1
            self._series[key] = series
            self._known[head, meta] = known
        self._rested[key] = 0

    def _find(self, head: bytes, meta: bytes) -> Tuple[Any, float, Any]:
        kind, rate, labels = read_meta(meta)
        key = (read_name(head), kind, labels)
        series = self._series.get(key)
        if series is None:
            return KINDS[kind](key[0], {**dict(labels), **self._labels}), rate, key
        # Rates and fields that we do not read make many keys of one series.
        if len(self._known) > 4 * len(self._series) + 64:
            self._known.clear()
        self._known[head, meta] = made = (series, rate, key)
        return made

    def flush(self) -> List[Row]:
        """Return what the interval came to, and begin the next."""
        rows: List[Row] = []
        for key, series in list(self._series.items()):
            rows += series.rows()
            self._rested[key] = self._rested.get(key, 0) + 1
            if self._rested[key] > REST:
                self._forget(key)
        return rows + list(self._own())

    def _own(self) -> Iterator[Row]:
        """Yield the counters of what came that have grown, and all of them now and then."""
        self._turn += 1
        for name, many in self.told.items():
            turn, before = self._said.get(name, (-1, -1))
            if many == before and self._turn % RARELY:
                continue
            full = "steersman_statsd_%s_total" % name
            if many != before and turn < self._turn - 1:
                # It did not grow until this interval began.
                yield full, float(max(before, 0)), self._labels, "counter", True
            yield full, float(many), self._labels, "counter", False
            self._said[name] = self._turn, many

    def close(self) -> None:
        for key in list(self._series):
            self._forget(key)

    def _forget(self, key: Tuple[str, str, Any]) -> None:
        del self._series[key]
        self._rested.pop(key, None)
        self._known.clear()
        self._room.left += 1
