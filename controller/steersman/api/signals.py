"""Signals: what is seen of apps, of hosts and of the controller itself, as plugins receive it.

Times are seconds since the epoch. Texts come from apps and hosts: they are data, bounded where
they were read, and secret values are masked before a signal is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Level = Literal["debug", "info", "warning", "error", "critical"]
Scalar = str | int | float | bool | None
ErrorKind = Literal[
    "exception",
    "crash",
    "oom",
    "crash-loop",
    "rollout-failed",
    "reconcile-failed",
    "host-unreachable",
]
_NOTHING: Mapping[str, Scalar] = MappingProxyType({})
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


def _nothing() -> Mapping[str, Scalar]:
    return _NOTHING


def _no_labels() -> Mapping[str, str]:
    return _NO_LABELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a signal comes from; what is not known, or does not apply, is empty or 0."""

    host: str = ""
    app: str = ""
    process: str = ""
    instance: str = ""
    release: int = 0
    commit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """A line that a process wrote; `is_system` tells the supervisor's words from the app's.

    `fields` are a JSON line's own, apart from its message, level and time.
    """

    time: float
    origin: Origin
    text: str
    level: Level = "info"
    fields: Mapping[str, Scalar] = field(default_factory=_nothing)
    is_system: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A line of a traceback; `before` and `after` are the source around `code`, where known."""

    file: str
    line: int
    function: str
    code: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    is_in_app: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An exception of a chain; `frames` go from the outermost call to where it was raised.

    `parent` is the index, in its report, of the exception that this one is the cause of, was
    being handled by, or is a member of; -1 for the one that was seen.
    """

    type: str
    message: str
    frames: tuple[Frame, ...] = ()
    relation: Literal["", "cause", "context", "member"] = ""
    parent: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """A process of an app ended without being asked to: by a code, or by a signal."""

    time: float
    origin: Origin
    code: int | None = None
    signal: str = ""
    is_oom: bool = False
    has_core: bool = False
    restarts: int = 0
    """How often the supervisor has started it anew so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """Something went wrong. Reports of one `fingerprint` are one error that came again.

    `exceptions` begins with the one that was seen last; `breadcrumbs` are the lines before it,
    oldest first.
    """

    time: float
    origin: Origin
    kind: ErrorKind
    title: str
    fingerprint: str
    message: str = ""
    level: Level = "error"
    exceptions: tuple[Raised, ...] = ()
    exited: Exited | None = None
    breadcrumbs: tuple[LogRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A measured value, named and labelled as Prometheus would: base units, `_total` counters.

    A counter only grows; one that is lower than before has begun again. Quantiles of a summary
    are gauges with the label `quantile`, beside NAME_sum and NAME_count.
    """

    time: float
    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=_no_labels)
    kind: Literal["gauge", "counter"] = "gauge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """An Event of the controller: what happened to the object `about`, such as `App/shop`."""

    time: float
    origin: Origin
    about: str
    reason: str
    message: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A piece of a rollout: ids are hex, 32 digits of a trace and 16 of a span."""

    trace: str
    id: str
    name: str
    start: float
    end: float
    parent: str = ""
    is_ok: bool = True
    origin: Origin = field(default_factory=Origin)
    attributes: Mapping[str, Scalar] = field(default_factory=_nothing)


Signal = LogRecord | Exited | ErrorReport | Sample | Happening | Span
SignalName = Literal["logs", "errors", "metrics", "events", "traces"]
SHIPPED: Mapping[SignalName, type[Signal]] = MappingProxyType(
    {
        "logs": LogRecord,
        "errors": ErrorReport,
        "metrics": Sample,
        "events": Happening,
        "traces": Span,
    }
)
"""What plugins may take, by the name that manifests use. An Exited comes as an ErrorReport."""
