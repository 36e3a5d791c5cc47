"""What was measured, as a table for people and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from benchmarks.figures import cores, machine, verdict
from benchmarks.rollout.latency import Latency
from benchmarks.rollout.measure import Deployed
from benchmarks.rollout.tools import Deployer

# What the project promises: how many times faster than each rival, the bytes beside the changed
# file, the milliseconds at p99.
CHANGE, FIRST = 5.0, 3.0
OVERHEAD = 64 * 1024
ADDED = 20.0
# Frames, acknowledgements and the SSH around what is sent in bulk.
WRAPPING = 0.05


@dataclass(frozen=True)
class Figures:
    """Everything that one run found out; `changes` and `firsts` are by the tool's name."""

    hosts: int
    wheels: int
    wheel_bytes: int
    blob_bytes: int
    changed_bytes: int
    load: float
    strategy: str
    tools: Sequence[Deployer]
    firsts: Mapping[str, Deployed]
    changes: Mapping[str, list[Deployed]]
    latency: Latency | None

    def table(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.hosts} hosts; an app with {self.wheels} wheels, {_kib(self.wheel_bytes)} KiB"
        yield f"{machine()}; load {self.load:.1f} before the first round; {self.strategy}"
        yield from self._part("one-line change, medians", self.changes, CHANGE)
        most = max(run.sent for run in self.changes["steersman"])
        limit = self.changed_bytes + OVERHEAD
        yield _bytes("most bytes sent to a host by steersman", most, limit)
        yield from self._part("first deploy", {k: [v] for k, v in self.firsts.items()}, FIRST)
        limit = int(self.blob_bytes * (1 + WRAPPING)) + OVERHEAD
        most = self.firsts["steersman"].sent
        yield _bytes("most bytes sent to a host by steersman", most, limit)
        yield f"  its blobs, once: packed wheels, source and hand, {_kib(self.blob_bytes)} KiB"
        if self.latency is not None:
            yield from _latency(self.latency)

    def _part(
        self, title: str, runs: Mapping[str, Sequence[Deployed]], wanted: float
    ) -> Iterator[str]:
        yield ""
        columns = f"{'rounds':>6}{'serving':>9}{'ended':>8}{'KiB/host':>10}{'lost':>7}{'ratio':>8}"
        yield f"{title:<26}{columns}"
        ours = _serving(runs["steersman"])
        for tool in self.tools:
            done = runs[tool.name]
            row = f"{tool.name + ' ' + tool.version:<26}{len(done):>6}{_serving(done):>9.2f}"
            row += f"{median(run.ended for run in done):>8.2f}{_kib(max(r.sent for r in done)):>10}"
            row += f"{median(run.lost for run in done):>7.0%}"
            if tool.name != "steersman":
                ratio = _serving(done) / ours
                row += f"{ratio:>7.1f}x  {verdict(ratio >= wanted)} (at least {wanted:.0f}x)"
            yield row

    def as_json(self) -> dict[str, object]:
        return {
            "machine": machine(),
            "cores": cores(),
            "load": self.load,
            "hosts": self.hosts,
            "strategy": self.strategy,
            "wheels": self.wheels,
            "bytes": {
                "wheels": self.wheel_bytes,
                "blobs": self.blob_bytes,
                "changed": self.changed_bytes,
            },
            "versions": {tool.name: tool.version for tool in self.tools},
            "first": {name: asdict(run) for name, run in self.firsts.items()},
            "change": {name: [asdict(r) for r in runs] for name, runs in self.changes.items()},
            "latency": None if self.latency is None else _latency_json(self.latency),
        }


def _serving(runs: Sequence[Deployed]) -> float:
    return median(run.serving for run in runs)


def _kib(count: int) -> int:
    return round(count / 1024)


def _bytes(what: str, found: int, limit: int) -> str:
    return f"{what}: {_kib(found)} KiB  {verdict(found <= limit)} (at most {_kib(limit)} KiB)"


def _latency(found: Latency) -> Iterator[str]:
    yield ""
    yield f"latency of one host, {found.offered:.0f} requests/s offered"
    for name, report in (("in peace", found.quiet), (f"{found.rollouts} rollouts", found.busy)):
        yield (
            f"  {name:<12} served {report.rate:.0f}/s for {report.seconds:.0f} s,"
            f" p50 {report.p50 * 1000:.1f} ms, p99 {report.p99 * 1000:.1f} ms,"
            f" slowest {report.slowest * 1000:.0f} ms, lost {report.failed}, late {report.late}"
        )
    good = verdict(found.added <= ADDED)
    yield f"  added at p99: {found.added:.1f} ms  {good} (at most {ADDED:.0f} ms)"


def _latency_json(found: Latency) -> dict[str, object]:
    kept = ("sent", "ok", "failures", "p50", "p99", "slowest", "seconds", "late")
    reports = {"quiet": found.quiet, "busy": found.busy}
    told = {name: {k: getattr(report, k) for k in kept} for name, report in reports.items()}
    return {"offered": found.offered, "rollouts": found.rollouts, "added_ms": found.added, **told}
