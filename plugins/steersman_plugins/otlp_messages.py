"""Signals as OTLP's messages: https://github.com/open-telemetry/opentelemetry-proto"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from steersman.api.signals import (
    ErrorReport,
    Exited,
    Happening,
    LogRecord,
    Origin,
    Sample,
    Scalar,
    Signal,
    Span,
)

_SEVERITY = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
_SCOPE = {"name": "steersman"}
_CUMULATIVE = 2


def metrics_of(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return an ExportMetricsServiceRequest: one metric for each name, a point for each sample."""
    by_name: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        by_name.setdefault((sample.name, sample.kind), []).append(sample)
    metrics = [_metric(name, kind, found) for (name, kind), found in by_name.items()]
    scope = {"scope": _SCOPE, "metrics": metrics}
    return {"resourceMetrics": [{"resource": _resource(Origin()), "scopeMetrics": [scope]}]}


def logs_of(signals: Sequence[Signal]) -> dict[str, Any]:
    """Return an ExportLogsServiceRequest of log lines, errors and events."""
    return _grouped("resourceLogs", "scopeLogs", "logRecords", signals, _log)


def traces_of(spans: Sequence[Span]) -> dict[str, Any]:
    """Return an ExportTraceServiceRequest."""
    return _grouped("resourceSpans", "scopeSpans", "spans", spans, _span)


def _grouped(
    resources: str, scopes: str, what: str, signals: Iterable[Any], made: Callable[[Any], Any]
) -> dict[str, Any]:
    by_origin: dict[Origin, list[Any]] = {}
    for signal in signals:
        by_origin.setdefault(signal.origin, []).append(made(signal))
    return {
        resources: [
            {"resource": _resource(origin), scopes: [{"scope": _SCOPE, what: found}]}
            for origin, found in by_origin.items()
        ]
    }


def _resource(origin: Origin) -> dict[str, Any]:
    service = "/".join(part for part in (origin.app, origin.process) if part) or "steersman"
    found: dict[str, Scalar] = {
        "service.name": service,
        "service.instance.id": origin.instance,
        "service.version": str(origin.release or ""),
        "host.name": origin.host,
        "vcs.ref.head.revision": origin.commit,
    }
    return {"attributes": _attributes({key: each for key, each in found.items() if each})}


def _metric(name: str, kind: str, samples: Sequence[Sample]) -> dict[str, Any]:
    points = {"dataPoints": [_point(each) for each in samples]}
    if kind == "counter":
        total = {**points, "aggregationTemporality": _CUMULATIVE, "isMonotonic": True}
        return {"name": _text(name), "sum": total}
    return {"name": _text(name), "gauge": points}


def _point(sample: Sample) -> dict[str, Any]:
    return {
        "timeUnixNano": _nanos(sample.time),
        "asDouble": _double(sample.value),
        "attributes": _attributes(sample.labels),
    }


def _log(signal: LogRecord | ErrorReport | Happening | Exited) -> dict[str, Any]:
    body, severity, more = _told(signal)
    return {
        "timeUnixNano": _nanos(signal.time),
        "observedTimeUnixNano": _nanos(signal.time),
        "severityNumber": _SEVERITY[severity],
        "severityText": severity.upper(),
        "body": {"stringValue": _text(body)},
        "attributes": _attributes(more),
    }


def _told(
    signal: LogRecord | ErrorReport | Happening | Exited,
) -> tuple[str, str, Mapping[str, Scalar]]:
    if isinstance(signal, LogRecord):
        return signal.text, signal.level, signal.fields
    if isinstance(signal, Happening):
        more: dict[str, Scalar] = {"event.name": signal.reason, "steersman.about": signal.about}
        return signal.message, "warning" if signal.is_warning else "info", more
    if isinstance(signal, ErrorReport):
        return signal.message or signal.title, signal.level, _error(signal)
    return f"exited with {signal.signal or signal.code}", "error", {}


def _error(report: ErrorReport) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {
        "event.name": report.kind,
        "steersman.fingerprint": report.fingerprint,
    }
    if report.exceptions:
        seen = report.exceptions[0]
        found |= {"exception.type": seen.type, "exception.message": seen.message}
        found["exception.stacktrace"] = "\n".join(chain.from_iterable(_trace(report)))
    return found


def _trace(report: ErrorReport) -> Iterable[list[str]]:
    for raised in reversed(report.exceptions):
        yield ["Traceback (most recent call last):"]
        for frame in raised.frames:
            yield [f'  File "{frame.file}", line {frame.line}, in {frame.function}']
            yield [f"    {frame.code.strip()}"] if frame.code else []
        yield [f"{raised.type}: {raised.message}"]


def _span(span: Span) -> dict[str, Any]:
    made: dict[str, Any] = {
        "traceId": span.trace,
        "spanId": span.id,
        "name": _text(span.name),
        "kind": 1,
        "startTimeUnixNano": _nanos(span.start),
        "endTimeUnixNano": _nanos(span.end),
        "attributes": _attributes(span.attributes),
        "status": {"code": 1 if span.is_ok else 2},
    }
    return {**made, "parentSpanId": span.parent} if span.parent else made


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": _text(key), "value": _value(each)} for key, each in values.items()]


def _value(value: Scalar) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": _double(value)}
    return {"stringValue": _text(str(value))}


def _double(value: float) -> float | str:
    # As protobuf's JSON has what JSON has not.
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _nanos(seconds: float) -> str:
    return str(round(seconds * 1_000_000) * 1000)


def _text(text: str) -> str:
    """Return `text` without half characters, which no protobuf takes."""
    return text.encode(errors="replace").decode()
