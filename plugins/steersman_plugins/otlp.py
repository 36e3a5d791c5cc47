"""Sends metrics, logs and traces to an OpenTelemetry collector: OTLP over HTTP, as JSON.

https://opentelemetry.io/docs/specs/otlp/#otlphttp: ids are hex, 64-bit numbers are texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from steersman.api.model import Model
from steersman.api.plugging import Plugin, PluginError
from steersman.api.signals import SHIPPED, Sample, Signal, SignalName, Span
from steersman_plugins.http import Http, Url
from steersman_plugins.otlp_messages import logs_of, metrics_of, traces_of
from steersman_plugins.webhook import check_headers


class Otlp(Plugin):
    """A collector's HTTP endpoint, as http://localhost:4318; a rollout is one trace."""

    takes: ClassVar[frozenset[SignalName]] = frozenset(SHIPPED)

    class Config(Model):
        """`headers` are those that the collector asks for, such as an authorization."""

        endpoint: Url = "http://127.0.0.1:4318"
        headers: Annotated[Mapping[str, str], AfterValidator(check_headers)] = Field(
            default_factory=dict
        )

    def __init__(self, name: str, config: Any) -> None:
        super().__init__(name, config)
        self._http = Http()

    async def ship(self, batch: Sequence[Signal]) -> None:
        samples = [each for each in batch if isinstance(each, Sample)]
        spans = [each for each in batch if isinstance(each, Span)]
        others = [each for each in batch if not isinstance(each, Sample | Span)]
        if samples:
            await self._post("metrics", metrics_of(samples))
        if others:
            await self._post("logs", logs_of(others))
        if spans:
            await self._post("traces", traces_of(spans))

    async def close(self) -> None:
        await self._http.close()

    async def _post(self, what: str, message: Mapping[str, Any]) -> None:
        url = f"{self.config.endpoint.rstrip('/')}/v1/{what}"
        headers = {"Content-Type": "application/json", **self.config.headers}
        _, body = await self._http.post(url, json.dumps(message).encode(), headers)
        refused = _refused(body)
        if refused:
            raise PluginError(f"the collector took a part of the {what}: {refused}", is_final=True)


def _refused(body: bytes) -> str:
    """Return what an answer says of what was not taken."""
    try:
        partial = json.loads(body or b"{}").get("partialSuccess") or {}
    except (ValueError, AttributeError, RecursionError):
        return ""
    counts = [str(each) for key, each in partial.items() if key.startswith("rejected")]
    is_some = any(count not in ("", "0") for count in counts)
    told = str(partial.get("errorMessage") or "no reason given")[:300]
    return f"{' '.join(counts)} refused, {told}" if is_some else ""
