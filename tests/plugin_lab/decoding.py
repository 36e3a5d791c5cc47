"""What Sentry and OpenTelemetry collectors were sent, as their own code reads it."""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sentry_sdk.envelope import Envelope

from plugin_lab.http import Asked, HttpServer

PROJECT = "/api/42/envelope/"
"""Where envelopes for the project 42 go."""
_TYPES: dict[str, Any] = {
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/traces": ExportTraceServiceRequest,
}


def events_in(http: HttpServer) -> list[dict[str, Any]]:
    """Return the events that Sentry accepted, oldest first."""
    events: list[dict[str, Any]] = []
    for asked in tuple(http.accepted):
        if asked.path == PROJECT:
            event = Envelope.deserialize(asked.body).get_event()
            assert event is not None
            events.append({**event})
    return events


def frame_of(event: dict[str, Any], function: str) -> dict[str, Any]:
    """Return an event's frame of a function, of what was raised last."""
    frames: list[dict[str, Any]] = event["exception"]["values"][-1]["stacktrace"]["frames"]
    return next(each for each in frames if each["function"] == function)


def read_otlp(asked: Asked) -> Any:
    """Return what was posted as the official definitions read it; ids in OTLP are hex, though."""
    data = json.loads(asked.body)
    for resource in data.get("resourceSpans", ()):
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in span:
                        span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    return Parse(json.dumps(data), _TYPES[asked.path]())
