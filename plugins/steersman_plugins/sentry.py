"""Sends errors to Sentry, or what speaks its protocol, and tells it of releases and deploys.

The SDK makes the envelopes, by a client of this plugin's own: nothing is hooked into the process,
no local variables, no names of this machine. They go out over HTTP here, where rate limits are
honoured: https://develop.sentry.dev/sdk/expected-features/rate-limiting/
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import AfterValidator, Field, model_validator
from sentry_sdk import Client
from sentry_sdk.consts import EndpointType
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from sentry_sdk.utils import BadDsn, Dsn

from steersman.api.model import Model
from steersman.api.plugging import Plugin, PluginError
from steersman.api.refusal import Refused
from steersman.api.signals import ErrorReport, Happening, Origin, Signal, SignalName
from steersman_plugins.http import Http, Url, retry_after
from steersman_plugins.sentry_events import event_of, version_of


def check_dsn(dsn: str) -> str:
    """Return `dsn` when it is one; it may be a secret, so no error shows it."""
    try:
        Dsn(dsn)
    except (BadDsn, ValueError):
        allowed = "a DSN, as https://KEY@HOST/PROJECT, from the project's Client Keys"
        raise Refused("another text", allowed) from None
    return dsn


class Deploys(Model):
    """Where to tell of releases and deploys: a token with the scope project:releases."""

    token: Annotated[str, Field(min_length=1)]
    organization: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]
    projects: Annotated[tuple[str, ...], Field(min_length=1)]
    url: Url = "https://sentry.io"


class Envelopes(Transport):
    """Keeps the envelopes that the client makes."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.made: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.made.append(envelope)


class Sentry(Plugin):
    """Errors with tracebacks, source lines and what was logged before; releases and deploys."""

    takes: ClassVar[frozenset[SignalName]] = frozenset({"errors", "events"})

    class Config(Model):
        """`dsn` is the project's; with `deploys`, each deployed release is told as well."""

        dsn: Annotated[str, AfterValidator(check_dsn)]
        environment: Annotated[str, Field(pattern=r"^[^\s/]{1,64}$")] = "production"
        tags: Mapping[str, str] = Field(default_factory=dict)
        deploys: Deploys | None = None

        @model_validator(mode="after")
        def _has_plain_tags(self) -> Sentry.Config:
            if any(len(key) > 32 for key in self.tags):
                raise Refused("a long name", "tags of at most 32 characters", at=("tags",))
            return self

    def __init__(self, name: str, config: Any) -> None:
        super().__init__(name, config)
        self._http = Http()
        self._transport = Envelopes()
        self._client = Client(
            config.dsn,
            transport=self._transport,
            environment=config.environment,
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            include_local_variables=False,
            max_request_body_size="never",
            send_client_reports=False,
            server_name="",
            max_value_length=16 * 1024,
            shutdown_timeout=0,
        )
        self._auth = Dsn(config.dsn).to_auth("steersman")
        self._free_at = 0.0

    async def ship(self, batch: Sequence[Signal]) -> None:
        refused: list[PluginError] = []
        for signal in batch:
            try:
                await self._ship(signal)
            except PluginError as error:
                if not error.is_final:
                    raise
                # One event that Sentry cannot take must not hold up those behind it.
                refused.append(error)
        if refused:
            raise PluginError(f"{len(refused)} of {len(batch)}: {refused[-1]}", is_final=True)

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close, 0)
        await self._http.close()

    async def _ship(self, signal: Signal) -> None:
        if isinstance(signal, ErrorReport):
            self._transport.made.clear()
            self._client.capture_event(event_of(signal, self.config.tags))  # type: ignore[arg-type]
            for envelope in self._transport.made:
                await self._send(envelope.serialize())
        deploys = self.config.deploys
        if deploys is not None and isinstance(signal, Happening) and _is_deploy(signal):
            await self._deployed(deploys, signal)

    async def _send(self, envelope: bytes) -> None:
        wait = self._free_at - time.monotonic()
        if wait > 0:
            raise PluginError("Sentry asked to be left alone for a while", after=wait)
        url = str(self._auth.get_api_url(EndpointType.ENVELOPE))
        headers = {
            "Content-Type": "application/x-sentry-envelope",
            "X-Sentry-Auth": str(self._auth.to_header()),
        }
        try:
            answered, _ = await self._http.post(url, envelope, headers)
        except PluginError as error:
            self._free_at = time.monotonic() + error.after
            raise
        limit = limited_for(answered)
        self._free_at = time.monotonic() + limit if limit > 0 else 0.0

    async def _deployed(self, deploys: Deploys, signal: Happening) -> None:
        version, origin = version_of(signal.origin), signal.origin
        base = f"{deploys.url.rstrip('/')}/api/0/organizations/{deploys.organization}/releases/"
        when = datetime.fromtimestamp(signal.time, UTC).isoformat()
        release = {"version": version, "projects": deploys.projects, "dateReleased": when}
        await self._tell(deploys, base, {**release, **_ref(origin)})
        deploy = {"environment": self.config.environment, "dateFinished": when}
        name = {"name": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{version} {when}"))}
        await self._tell(deploys, f"{base}{quote(version, safe='')}/deploys/", {**deploy, **name})

    async def _tell(self, deploys: Deploys, url: str, data: Mapping[str, Any]) -> None:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {deploys.token}",
        }
        await self._http.post(url, json.dumps(data).encode(), headers)


def limited_for(headers: Mapping[str, str]) -> float:
    """Return for how long Sentry wants no errors: the longest limit that concerns them."""
    longest = 0.0
    for limit in headers.get("x-sentry-rate-limits", "").split(","):
        seconds, _, rest = limit.strip().partition(":")
        categories = rest.partition(":")[0].split(";")
        try:
            if categories == [""] or "error" in categories:
                longest = max(longest, min(float(seconds), 86400.0))
        except ValueError:
            print("sentry: a rate limit that cannot be read", file=sys.stderr)  # noqa: T201
    return max(longest, retry_after(headers))


def _is_deploy(signal: Happening) -> bool:
    return signal.reason == "Deployed" and signal.origin.release > 0


def _ref(origin: Origin) -> dict[str, Any]:
    return {"ref": origin.commit} if origin.commit else {}
