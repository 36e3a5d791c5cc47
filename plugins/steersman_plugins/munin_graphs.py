"""Which graphs Munin draws of what is measured, and the lines that describe and feed them.

Words: https://guide.munin-monitoring.org/en/latest/reference/plugin.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from steersman.api.signals import Sample
from steersman_plugins.series import Board, Growth, Key, key_of, number
from steersman_plugins.wording import word

_MOST_SERIES = 10_000
_MOST_OTHERS = 1000
# RRDtool's counters have 64 bits, and sums of these stay numbers.
_LARGEST = 1e15
_NOT_IN_FIELD = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph of the samples `sample`: for each value of the label `of` a line for each of `line`.

    RRDtool derives rates of whole numbers only, so a counter is multiplied by `scale` here and
    divided again by `cdef` there.
    """

    name: str
    sample: str
    of: Literal["app", "host", "metric"]
    line: str
    title: str
    unit: str
    kind: Literal["GAUGE", "DERIVE"] = "GAUGE"
    scale: int = 1
    cdef: str = ""
    only: frozenset[str] = frozenset()
    is_highest: bool = False


_KNOWN = (
    Graph(
        "app_cpu",
        "steersman_process_cpu_seconds_total",
        "app",
        "process",
        "CPU",
        "% of a core",
        kind="DERIVE",
        scale=1000,
        cdef="10,/",
    ),
    Graph("app_memory", "steersman_process_resident_bytes", "app", "process", "Memory", "bytes"),
    Graph(
        "app_requests",
        "steersman_route_requests_total",
        "app",
        "code",
        "Requests by status code",
        "requests / ${graph_period}",
        kind="DERIVE",
    ),
    Graph(
        "app_latency",
        "steersman_route_latency_seconds",
        "app",
        "quantile",
        "Latency of the slowest route by quantile",
        "seconds",
        is_highest=True,
    ),
    Graph(
        "app_errors",
        "steersman_log_lines_total",
        "app",
        "level",
        "Warnings and errors logged",
        "lines / ${graph_period}",
        kind="DERIVE",
        only=frozenset({"warning", "error", "critical"}),
    ),
    Graph("host_load", "steersman_host_load1", "host", "", "Load average", "load"),
    Graph("host_memory", "steersman_host_memory_bytes", "host", "state", "Memory", "bytes"),
    Graph("host_disk", "steersman_host_disk_bytes", "host", "state", "Disk", "bytes"),
)
# Whatever else is told of apps, first of all by themselves: a line for each app.
OTHER_VALUES = Graph("other_values", "", "metric", "app", "Values", "value")
OTHER_COUNTS = Graph(
    "other_counts", "", "metric", "app", "Counts", "count / ${graph_period}", kind="DERIVE"
)
GRAPHS = (*_KNOWN, OTHER_VALUES, OTHER_COUNTS)
_BY_SAMPLE: Mapping[str, Graph] = {graph.sample: graph for graph in _KNOWN}

Lines = Mapping[str, float]
Subjects = Mapping[str, Lines]


def field(text: str) -> str:
    """Return `text` as a field's or a graph's name; `root` means something else to Munin."""
    name = _NOT_IN_FIELD.sub("_", word(text))
    return f"_{name}" if name[0].isdigit() or name == "root" else name


class Sheets:
    """What was measured, by graph, subject (an app or a host) and line."""

    def __init__(self, patience: float) -> None:
        self._gauges = Board(_MOST_SERIES, patience)
        self._totals = Board(_MOST_SERIES, patience)
        # Of their own: an app that makes up names takes no room from what is known.
        self._others = Board(_MOST_OTHERS, patience)
        self._growth = Growth(_MOST_SERIES)

    @property
    def refused(self) -> int:
        return self._gauges.refused + self._totals.refused + self._others.refused

    def take(self, sample: Sample, now: float) -> None:
        """Note a sample, if a graph shows it."""
        if abs(sample.value) > _LARGEST:
            return
        graph = _BY_SAMPLE.get(sample.name)
        if graph is None:
            self._take_other(sample, now)
            return
        subject = sample.labels.get(graph.of, "")
        line = sample.labels.get(graph.line, "") or graph.name.partition("_")[2]
        if not subject or (graph.only and line not in graph.only):
            return
        place = (("line", line), ("subject", subject))
        if graph.kind == "DERIVE":
            self._add(self._totals, sample, (graph.name, place), now)
        elif not graph.is_highest or sample.labels.get("quantile"):
            self._gauges.take((graph.name, place + key_of(sample)[1]), sample.value, "gauge", now)

    def _take_other(self, sample: Sample, now: float) -> None:
        app = sample.labels.get("app", "")
        # Nobody can add up quantiles.
        if not app or "quantile" in sample.labels:
            return
        place = (("line", app), ("subject", field(sample.name)))
        if sample.kind == "counter":
            self._add(self._others, sample, (OTHER_COUNTS.name, place), now)
        else:
            key = (OTHER_VALUES.name, place + key_of(sample)[1])
            self._others.take(key, sample.value, "gauge", now)

    def _add(self, board: Board, sample: Sample, key: Key, now: float) -> None:
        # A total that only grows, though the counters it is made of come and go.
        source = key_of(sample)
        grown = self._growth.of(source, sample.value, {})
        self._growth.keep({source: sample.value})
        board.take(key, board.value(key) + grown, "counter", now)

    def fresh(self, now: float) -> Mapping[str, Subjects]:
        """Return, by graph, the value of each line of each subject that was seen lately."""
        found: dict[str, dict[str, dict[str, float]]] = {graph.name: {} for graph in GRAPHS}
        highest = {graph.name for graph in GRAPHS if graph.is_highest}
        boards = (self._gauges, self._totals, self._others)
        for (name, labels), latest in chain.from_iterable(board.rows(now) for board in boards):
            (_, line), (_, subject) = labels[:2]
            lines = found[name].setdefault(subject, {})
            if name in highest:
                lines[line] = max(lines.get(line, latest.value), latest.value)
            else:
                lines[line] = lines.get(line, 0.0) + latest.value
        return {name: dict(sorted(subjects.items())) for name, subjects in found.items()}


def together(graph: Graph, subjects: Subjects) -> Lines:
    """Return one line for each subject: the sum of its own, or the highest."""
    gather = max if graph.is_highest else sum
    return {subject: gather(lines.values()) for subject, lines in subjects.items()}


def config_lines(graph: Graph, title: str, lines: Lines) -> Iterator[str]:
    """Yield how a graph is drawn."""
    yield f"graph_title {title}"
    yield f"graph_vlabel {graph.unit}"
    yield "graph_category steersman"
    if graph.unit == "bytes":
        yield "graph_args --base 1024 --lower-limit 0"
    else:
        yield "graph_args --lower-limit 0"
    for name, (label, _) in _fields(graph, lines).items():
        yield f"{name}.label {label}"
        yield f"{name}.type {graph.kind}"
        if graph.kind == "DERIVE":
            yield f"{name}.min 0"
        if graph.cdef:
            yield f"{name}.cdef {name},{graph.cdef}"


def value_lines(graph: Graph, lines: Lines) -> Iterator[str]:
    """Yield what the lines of a graph stand at."""
    for name, (_, value) in _fields(graph, lines).items():
        whole = graph.kind == "DERIVE"
        yield f"{name}.value {number(round(value * graph.scale) if whole else value)}"


def _fields(graph: Graph, lines: Lines) -> dict[str, tuple[str, float]]:
    made: dict[str, tuple[str, float]] = {}
    for text, value in sorted(lines.items()):
        name = field(text)
        before = made.get(name, ("", 0.0))[1]
        both = max(before, value) if graph.is_highest else before + value
        made[name] = (word(text), both)
    return made
