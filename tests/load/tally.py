"""What happened to every request, and the report made of it."""

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

_SHOWN = 20


@dataclass(frozen=True)
class Report:
    """The verdict of one run. `sent` is `ok` plus everything in `failures`; times in seconds.

    `revisions` counts the good answers of each; `seen` has when each first and last answered, on
    the clock of `time.time`. `longest_gap` is the longest time without a good answer.
    `examples` are the first failures. `late` requests could not be sent at their time, because
    their connection still waited for an answer.
    """

    sent: int
    ok: int
    failures: dict[str, int]
    statuses: dict[str, int]
    revisions: dict[str, int]
    seen: dict[str, tuple[float, float]]
    longest_gap: float
    p50: float
    p99: float
    slowest: float
    seconds: float
    connections: int
    closed_by_server: int
    late: int
    acknowledged: list[str] = field(repr=False)
    examples: list[dict[str, Any]]

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return self.ok / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Tally:
    """Counts while the load runs."""

    started: float = field(default_factory=time.time)
    _begun: float = field(default_factory=time.monotonic)
    sent: int = 0
    connections: int = 0
    closed_by_server: int = 0
    late: int = 0
    _failures: Counter[str] = field(default_factory=Counter)
    _statuses: Counter[str] = field(default_factory=Counter)
    _revisions: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    _latencies: list[float] = field(default_factory=list)
    _acknowledged: list[str] = field(default_factory=list)
    _examples: list[dict[str, Any]] = field(default_factory=list)
    _last_ok: float | None = None
    _longest_gap: float = 0.0

    def now(self) -> float:
        """The time of day, on a clock that no correction of the machine's clock moves."""
        return self.started + time.monotonic() - self._begun

    def good(self, revision: str, latency: float, acknowledged: str | None) -> None:
        now = self.now()
        self._revisions[revision] += 1
        self._seen[revision] = (self._seen.get(revision, (now, now))[0], now)
        self._latencies.append(latency)
        self._note_gap(now)
        self._last_ok = now
        if acknowledged is not None:
            self._acknowledged.append(acknowledged)

    def status(self, status: int) -> None:
        self._statuses[str(status)] += 1

    def bad(self, kind: str, method: str, detail: str) -> None:
        self._failures[kind] += 1
        if len(self._examples) < _SHOWN:
            self._examples.append(
                {"at": self.now(), "kind": kind, "method": method, "detail": detail}
            )

    def report(self) -> Report:
        now = self.now()
        self._note_gap(now)
        ordered = sorted(self._latencies)
        return Report(
            sent=self.sent,
            ok=len(ordered),
            failures=dict(self._failures),
            statuses=dict(self._statuses),
            revisions=dict(self._revisions),
            seen=self._seen,
            longest_gap=self._longest_gap,
            p50=_quantile(ordered, 0.50),
            p99=_quantile(ordered, 0.99),
            slowest=_quantile(ordered, 1.0),
            seconds=now - self.started,
            connections=self.connections,
            closed_by_server=self.closed_by_server,
            late=self.late,
            acknowledged=self._acknowledged,
            examples=self._examples,
        )

    def _note_gap(self, now: float) -> None:
        since = self._last_ok if self._last_ok is not None else self.started
        self._longest_gap = max(self._longest_gap, now - since)


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0
