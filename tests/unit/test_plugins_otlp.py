"""otlp keeps the laws of plugins; the official protobuf definitions read what it posts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from plugin_lab import HttpServer
from plugin_lab.decoding import read_otlp
from steersman.api.plugging import Plugin, PluginError
from steersman.api.signals import Sample, Signal, Span
from steersman.testing.plugin_laws import PluginLaws, Server
from steersman.testing.signals import signal
from steersman_plugins.otlp import Otlp


@pytest.fixture
def http() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


class Collector(Server):
    secrets = ("canary-token",)

    def __init__(self, http: HttpServer) -> None:
        self.http = http
        headers = {"Authorization": "Bearer canary-token"}
        self.config = {"endpoint": http.url, "headers": headers}

    async def received(self) -> str:
        found = [MessageToDict(read_otlp(asked)) for asked in self.http.accepted]
        return json.dumps(found, ensure_ascii=False)

    async def refuse(self, is_refusing: bool) -> None:
        self.http.status = 503 if is_refusing else 200


class TestOtlp(PluginLaws):
    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        return Otlp

    @pytest.fixture
    def server(self, http: HttpServer) -> Server:
        return Collector(http)


async def shipped(http: HttpServer, *signals: Signal) -> Any:
    plugin = Otlp("o", Otlp.Config(endpoint=http.url))
    try:
        await plugin.ship(signals)
    finally:
        await plugin.close()
    return read_otlp(http.accepted[-1])


async def test_metrics_are_what_they_were(http: HttpServer) -> None:
    odd = [math.nan, math.inf, -math.inf, 2.0**60, 0.1]
    gauges = [Sample(time=1.25, name="g", value=value, labels={"a": "b"}) for value in odd]
    counter = Sample(time=2.0, name="c_total", value=3.0, kind="counter")
    message = await shipped(http, *gauges, counter)
    gauge, total = message.resource_metrics[0].scope_metrics[0].metrics
    values = [point.as_double for point in gauge.gauge.data_points]
    assert math.isnan(values[0])
    assert values[1:] == odd[1:]
    assert gauge.gauge.data_points[0].time_unix_nano == 1_250_000_000
    assert gauge.gauge.data_points[0].attributes[0].key == "a"
    assert (total.sum.is_monotonic, total.sum.aggregation_temporality) == (True, 2)


async def test_a_trace_is_a_tree(http: HttpServer) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    root = Span(trace=trace, id="b7ad6b7169203331", name="rollout", start=1.0, end=3.0)
    step = Span(
        trace=trace, id="00f067aa0ba902b7", parent=root.id, name="step", start=1.5, end=2.0,
        is_ok=False, attributes={"count": 2**53, "share": 0.5, "yes": True, "none": None},
    )  # fmt: skip
    message = await shipped(http, root, step)
    first, second = message.resource_spans[0].scope_spans[0].spans
    assert first.trace_id.hex() == second.trace_id.hex() == trace
    assert (first.parent_span_id, second.parent_span_id) == (b"", first.span_id)
    assert (first.status.code, second.status.code) == (1, 2)
    found = {each.key: each.value for each in second.attributes}
    assert found["count"].int_value == 2**53
    assert found["yes"].bool_value is True
    assert found["none"].WhichOneof("value") is None


async def test_an_error_is_a_log_record_with_its_stack(http: HttpServer) -> None:
    message = await shipped(http, signal("errors", 1))
    resource = message.resource_logs[0]
    (record,) = resource.scope_logs[0].log_records
    found = {each.key: each.value.string_value for each in record.attributes}
    assert record.severity_number == 17
    assert found["exception.type"] == "ValueError"
    assert 'File "shop/cart.py", line 12, in add' in found["exception.stacktrace"]
    about = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (about["service.name"], about["host.name"]) == ("shop/web", "h1")


async def test_what_a_collector_did_not_take_is_told(http: HttpServer) -> None:
    http.answer = b'{"partialSuccess": {"rejectedDataPoints": "1", "errorMessage": "too old"}}'
    with pytest.raises(PluginError, match="too old") as refused:
        await shipped(http, signal("metrics", 1))
    assert refused.value.is_final
