"""What `steer top` shows of hosts, apps and processes: which samples each column is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Points = Mapping[int, float]
Row = tuple[str, ...]
Data = Mapping[Row, Points]

STEP, LONG = 10, 300
"""Seconds between points, and how far back the trend goes."""
RECENT, RARE = 60, 150
"""Seconds for which a row stands when nothing newer of it has come, and one of its values."""
BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-:=+*#"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question for samples, by the view's labels and those of `more`, of which `keeps` decides
    which count; `how` says how several are one."""

    name: str
    is_rate: bool = False
    how: str = "avg"
    match: str = ""
    more: str = ""
    keeps: Callable[[str], bool] = lambda value: True

    def params(self, labels: Sequence[str], now: float) -> dict[str, str | int | list[str]]:
        """Return what to ask the daemon for the trend that ends now."""
        by = [*labels, *([self.more] if self.more else [])]
        return {
            "name": f"steersman_{self.name}",
            "by": ",".join(by),
            "how": self.how,
            "rate": "true" if self.is_rate else "false",
            # A step that is not over yet would look like a fall.
            "start": str(now - LONG),
            "end": str(now // STEP * STEP),
            "step": STEP,
            **({"match": self.match} if self.match else {}),
        }


@dataclass(frozen=True, slots=True)
class Column:
    """A column from what is `asked`, as `shown`; with two questions, the first in parts of the
    second."""

    title: str
    asked: tuple[Asked, ...]
    shown: Callable[[float], str]

    @property
    def key(self) -> str:
        """What `--sort-by` and `-o json` call it."""
        return self.title.partition("(")[0].lower()


@dataclass(frozen=True, slots=True)
class View:
    """What `labels` tell the rows apart, under which `titles`, and their columns."""

    labels: tuple[str, ...]
    titles: tuple[str, ...]
    columns: tuple[Column, ...]


def cores(value: float) -> str:
    """Return CPU as kubectl does: thousandths of a core."""
    return f"{round(value * 1000)}m"


def size(value: float) -> str:
    return f"{round(value / 2**20)}Mi"


def percent(value: float) -> str:
    return f"{value:.1%}" if 0 < value < 0.1 else f"{value:.0%}"


def seconds(value: float) -> str:
    return f"{value * 1000:.0f}ms" if value < 10 else f"{value:.1f}s"


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def speed(value: float) -> str:
    return f"{value / 1024:.0f}Ki/s"


def days(value: float) -> str:
    units = (("d", 86400), ("h", 3600), ("m", 60))
    return next((f"{value // many:.0f}{unit}" for unit, many in units if value >= many),
                f"{value:.0f}s")  # fmt: skip


def _is_busy(mode: str) -> bool:
    return mode not in ("idle", "iowait", "guest", "guest_nice")


_REQUESTS = Asked("route_requests_total", is_rate=True)
_FAILED = Asked(
    "route_requests_total", is_rate=True, more="code", keeps=lambda code: code[:1] == "5"
)
_AVAILABLE = Asked("host_memory_bytes", match="state=available")
_MEMORY = Asked("host_memory_bytes", match="state=total")
_FREE = Asked("host_disk_bytes", match="state=free")
_DISK = Asked("host_disk_bytes", match="state=total")
_CPU = Column("CPU(cores)", (Asked("process_cpu_seconds_total", is_rate=True),), cores)
_RESIDENT = Column("MEMORY(bytes)", (Asked("process_resident_bytes"),), size)
_RESTARTS = Column("RESTARTS", (Asked("process_restarts_total"),), number)
_TRAFFIC = (
    Column("RPS", (_REQUESTS,), number),
    Column("ERRORS", (_FAILED, _REQUESTS), percent),
    Column("P99", (Asked("route_latency_seconds", how="max", match="quantile=0.99"),), seconds),
)

VIEWS: Mapping[str, View] = {
    "hosts": View(
        ("host",),
        ("NAME",),
        (
            Column(
                "CPU(cores)",
                (Asked("host_cpu_seconds_total", is_rate=True, more="mode", keeps=_is_busy),),
                cores,
            ),
            Column("LOAD", (Asked("host_load1"),), number),
            Column("AVAILABLE(bytes)", (_AVAILABLE,), size),
            Column("AVAILABLE%", (_AVAILABLE, _MEMORY), percent),
            Column("DISK FREE%", (_FREE, _DISK), percent),
            Column("NETWORK", (Asked("host_network_bytes_total", is_rate=True),), speed),
        ),
    ),
    "apps": View(("app",), ("NAME",), (_CPU, _RESIDENT, *_TRAFFIC, _RESTARTS)),
    "processes": View(
        ("app", "process", "instance", "host", "release"),
        ("APP", "PROCESS", "INSTANCE", "HOST", "RELEASE"),
        (
            _CPU,
            _RESIDENT,
            Column("PSS(bytes)", (Asked("process_pss_bytes"),), size),
            Column("FDS", (Asked("process_open_fds"),), number),
            Column("THREADS", (Asked("process_threads"),), number),
            _RESTARTS,
            Column("UP", (Asked("process_uptime_seconds", how="max"),), days),
        ),
    ),
}


def sparkline(points: Points, last: int, width: int, blocks: str) -> str:
    """Return the `width` steps up to `last` as blocks from 0 to the highest; a gap is a space."""
    values = [points.get(last - STEP * back) for back in reversed(range(width))]
    top = max((each for each in values if each is not None), default=0.0)
    return "".join(
        " "
        if each is None
        else blocks[min(len(blocks) - 1, int(each / top * len(blocks)) if top > 0 else 0)]
        for each in values
    )


def newest(points: Points, last: int, *, is_rate: bool) -> float | None:
    """Return what holds at `last`, the newest step there is of anything; None when too old.

    A rate is the mean of three steps: a counter that said nothing in one of them did not grow.
    """
    known = [t for t in points if t >= last - RARE]
    if not known:
        return None
    if is_rate:
        return sum(points.get(last - STEP * back, 0.0) for back in range(3)) / 3
    return points[max(known)]
