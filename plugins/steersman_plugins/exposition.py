"""A board of series in Prometheus's two text formats, by prometheus-client's own encoders."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import cast

from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from steersman.api.signals import Sample
from steersman_plugins.series import MOST_TEXT, Key, Labels, Latest, labels_of

# Colons are for the names of recording rules.
_NOT_IN_NAME = re.compile(r"[^a-zA-Z0-9_]")
_NOT_IN_LABEL = re.compile(r"[^a-zA-Z0-9_]")
# What the formats keep for themselves: a label `__x`, and the suffixes of families of other kinds.
_RESERVED = ("_total", "_created", "_info", "_bucket", "_gsum", "_gcount")
_SUFFIXES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"counter": ("", "_total", "_created"), "summary": ("", "_sum", "_count", "_created")}
)
_HELP: Mapping[str, str] = MappingProxyType(
    {
        "steersman_process_cpu_seconds": "CPU time of a process and its children.",
        "steersman_process_resident_bytes": "Resident memory.",
        "steersman_process_pss_bytes": "Memory, what is shared counted in parts.",
        "steersman_process_open_fds": "Open file descriptors.",
        "steersman_process_threads": "Threads.",
        "steersman_process_restarts": "How often the supervisor started it anew.",
        "steersman_process_uptime_seconds": "Time since it was started.",
        "steersman_host_cpu_seconds": "CPU time of a host by mode.",
        "steersman_host_load1": "Load average over one minute.",
        "steersman_host_memory_bytes": "Memory of a host.",
        "steersman_host_disk_bytes": "Disk below steersman's folder.",
        "steersman_host_network_bytes": "Bytes through a host's network.",
        "steersman_route_requests": "Requests by route and status code, from the proxy's log.",
        "steersman_route_latency_seconds": "How long requests took, from the proxy's log.",
        "steersman_route_sent_bytes": "Bytes sent by route, from the proxy's log.",
        "steersman_log_lines": "Log lines by level.",
        "steersman_rollout_seconds": "How long the last rollout took.",
        "steersman_rollouts": "Rollouts by how they ended.",
        "steersman_queue_depth": "Keys of an app that wait for the controller.",
        "steersman_drift_healed": "Times that drift was healed.",
        "steersman_controller_reconciles": "Reconciles of the controller.",
        "steersman_controller_errors": "Errors of the controller.",
        "steersman_controller_queue_depth": "Keys that wait for the controller.",
        "steersman_link_round_trip_seconds": "Round trip over the link to a host.",
    }
)


def series_key(sample: Sample) -> Key:
    """Return the name and labels that the formats accept; what becomes equal is one series."""
    labels = {
        _label(key): value.encode(errors="replace").decode() for key, value in labels_of(sample)
    }
    return _name(sample), tuple(sorted(labels.items()))


def _name(sample: Sample) -> str:
    name = _NOT_IN_NAME.sub("_", sample.name[:MOST_TEXT]) or "_"
    # A counter is called what is before its `_total`: something must be.
    name = f"_{name}" if name[0].isdigit() or name == "_total" else name
    if sample.kind == "counter":
        # The count and sum of a summary are counters with names of their own.
        return name if name.endswith(("_total", "_count", "_sum")) else f"{name}_total"
    return f"{name}_" if name.endswith(_RESERVED) else name


def _label(key: str) -> str:
    label = _NOT_IN_LABEL.sub("_", key).lstrip("_") or "label"
    return f"_{label}" if label[0].isdigit() else label


def families(rows: Sequence[tuple[Key, Latest]]) -> tuple[list[Metric], int]:
    """Return the series as families, and how many had to go: a name can be of one kind only."""
    summaries = {
        name for (name, labels), latest in rows if latest.kind == "gauge" and _quantile(labels)
    }
    made: dict[str, Metric] = {}
    taken: set[str] = set()
    left_out = 0
    # In this order what wins a name is always the same, and a family's series are together.
    for (name, labels), latest in sorted(rows, key=_order):
        base, kind = _family(name, latest.kind, summaries)
        if base not in made and not taken.isdisjoint(_names(base, kind)):
            left_out += 1
            continue
        if base not in made:
            made[base] = Metric(base, _HELP.get(base, "Told by an app."), kind)
            taken.update(_names(base, kind))
        suffix = name.removeprefix(base)
        if made[base].type == kind and _is_sound(kind, suffix, labels, latest.value):
            made[base].add_sample(name, dict(labels), latest.value)
        else:
            left_out += 1
    return [family for family in made.values() if family.samples], left_out


def _order(row: tuple[Key, Latest]) -> tuple[str, Labels, str]:
    (name, labels), _ = row
    base = name.removesuffix("_sum").removesuffix("_count")
    return base, tuple(one for one in labels if one[0] != "quantile"), name


def _family(name: str, kind: str, summaries: set[str]) -> tuple[str, str]:
    for base in (name, name.removesuffix("_sum"), name.removesuffix("_count")):
        if base in summaries:
            return base, "summary"
    if kind == "counter" and name.endswith("_total"):
        return name.removesuffix("_total"), "counter"
    # A count or a sum without its summary: OpenMetrics has no counter of such a name.
    return name, "unknown" if kind == "counter" else "gauge"


def _names(base: str, kind: str) -> list[str]:
    return [base + suffix for suffix in _SUFFIXES.get(kind, ("",))]


def _quantile(labels: Labels) -> str:
    return dict(labels).get("quantile", "")


def _is_sound(kind: str, suffix: str, labels: Labels, value: float) -> bool:
    """Return whether OpenMetrics allows a sample of a family's kind; a scrape fails as a whole."""
    if kind == "counter":
        return value >= 0
    if kind != "summary":
        return True
    if suffix:
        is_whole = suffix != "_count" or float(value).is_integer()
        return value >= 0 and is_whole and not _quantile(labels)
    try:
        return value >= 0 and 0 <= float(_quantile(labels)) <= 1
    except ValueError:
        return False


class _Made(Collector):
    def __init__(self, made: Sequence[Metric]) -> None:
        self._made = made

    def collect(self) -> Iterator[Metric]:
        return iter(self._made)


# The library says no types here.
_open_metrics = cast("Callable[[Collector], bytes]", openmetrics.generate_latest)


def text_for(accept: str, rows: Sequence[tuple[Key, Latest]]) -> tuple[bytes, str]:
    """Return all series in the format that `accept` asks for, and its Content-Type."""
    if "application/openmetrics-text" in accept:
        return _open_metrics(_Made(families(rows)[0])), openmetrics.CONTENT_TYPE_LATEST
    return plain_text(rows), CONTENT_TYPE_PLAIN_0_0_4


def plain_text(rows: Sequence[tuple[Key, Latest]]) -> bytes:
    """Return all series in the older format, which node_exporter's textfiles have too."""
    return generate_latest(_Made(families(rows)[0]))
