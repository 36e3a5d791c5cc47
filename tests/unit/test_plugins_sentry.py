"""sentry keeps the laws of plugins before a server that reads envelopes with the SDK's parser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sentry_sdk

from plugin_lab import HttpServer
from plugin_lab.decoding import events_in
from steersman.api.plugging import Plugin, PluginError
from steersman.api.signals import (
    ErrorReport,
    Exited,
    Happening,
    Raised,
    Signal,
)
from steersman.testing.plugin_laws import PluginLaws, Server
from steersman.testing.signals import ORIGIN, signal
from steersman_plugins.sentry import Sentry, limited_for

TOKEN = "canary-api-token"


@pytest.fixture
def http() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


def config_for(http: HttpServer, *, deploys: bool = True) -> dict[str, Any]:
    told = {"token": TOKEN, "organization": "acme", "projects": ["shop"], "url": http.url}
    dsn = f"http://0123456789abcdef@{http.netloc}/42"
    return {"dsn": dsn, **({"deploys": told} if deploys else {})}


class Project(Server):
    """A project of Sentry's, and the API of its organization."""

    secrets = (TOKEN, "0123456789abcdef")

    def __init__(self, http: HttpServer) -> None:
        self.http, self.config = http, config_for(http)

    async def received(self) -> str:
        api = [json.loads(a.body) for a in self.http.accepted if a.path.startswith("/api/0/")]
        return json.dumps([events_in(self.http), api])

    async def refuse(self, is_refusing: bool) -> None:
        self.http.status = 503 if is_refusing else 200

    def marker(self, signal: Signal) -> str:
        # Of a Happening, Sentry is told which release was deployed.
        is_deploy = isinstance(signal, Happening)
        return "shop@7+4f0c4f0c4f0c" if is_deploy else super().marker(signal)


class TestSentry(PluginLaws):
    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        return Sentry

    @pytest.fixture
    def server(self, http: HttpServer) -> Server:
        return Project(http)


async def shipped(http: HttpServer, *signals: Signal, **config: Any) -> list[dict[str, Any]]:
    plugin = Sentry("s", Sentry.Config.model_validate({**config_for(http), **config}))
    try:
        await plugin.ship(signals)
    finally:
        await plugin.close()
    return events_in(http)


def error() -> ErrorReport:
    report = signal("errors", 1)
    assert isinstance(report, ErrorReport)
    return report


async def test_an_error_arrives_with_its_source_line(http: HttpServer) -> None:
    (event,) = await shipped(http, error(), environment="staging", tags={"team": "checkout"})
    (raised,) = event["exception"]["values"]
    (frame,) = raised["stacktrace"]["frames"]
    assert (raised["type"], raised["value"]) == ("ValueError", "law1mark is no price")
    assert (frame["filename"], frame["lineno"], frame["function"]) == ("shop/cart.py", 12, "add")
    assert frame["context_line"] == "    total += price"
    assert frame["pre_context"] == ["def add(price):"]
    assert frame["post_context"] == ["    return total"]
    assert event["release"] == "shop@7+4f0c4f0c4f0c"
    assert event["environment"] == "staging"
    assert event["server_name"] == "h1"
    assert event["tags"]["team"] == "checkout"
    assert event["tags"]["process"] == "web"
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["a line before"]
    assert event["fingerprint"] == ["fingerprint law1mark"]


async def test_a_chain_has_the_last_exception_last(http: HttpServer) -> None:
    cause = Raised(type="shop.Lost", message="the cause", relation="cause", parent=0)
    (event,) = await shipped(http, replace(error(), exceptions=(*error().exceptions, cause)))
    first, last = event["exception"]["values"]
    assert (first["module"], first["type"], last["type"]) == ("shop", "Lost", "ValueError")
    assert first["mechanism"]["parent_id"] == last["mechanism"]["exception_id"] == 0
    assert first["mechanism"]["source"] == "__cause__"


async def test_a_crash_without_a_traceback_says_how_it_ended(http: HttpServer) -> None:
    exited = Exited(time=1.0, origin=ORIGIN, signal="SIGKILL", is_oom=True)
    crash = replace(error(), kind="oom", exceptions=(), exited=exited, message="out of memory")
    (event,) = await shipped(http, crash)
    assert event["logentry"]["formatted"] == "out of memory"
    assert event["contexts"]["exit"]["oom"] is True
    assert event["tags"]["kind"] == "oom"


async def test_the_same_report_is_the_same_event(http: HttpServer) -> None:
    first, again = await shipped(http, error(), error())
    assert first["event_id"] == again["event_id"]
    (other,) = (await shipped(http, replace(error(), time=5.0)))[2:]
    assert other["event_id"] != first["event_id"]


async def test_a_deploy_is_told(http: HttpServer) -> None:
    await shipped(http, signal("events", 1))
    release, deploy = http.accepted
    assert release.path == "/api/0/organizations/acme/releases/"
    assert json.loads(release.body)["version"] == "shop@7+4f0c4f0c4f0c"
    assert json.loads(release.body)["ref"] == ORIGIN.commit
    assert deploy.path.endswith("/releases/shop%407%2B4f0c4f0c4f0c/deploys/")
    assert json.loads(deploy.body)["environment"] == "production"
    assert release.headers["Authorization"] == f"Bearer {TOKEN}"


async def test_a_rate_limit_is_honoured(http: HttpServer) -> None:
    plugin = Sentry("s", Sentry.Config.model_validate(config_for(http)))
    http.status, http.headers = 429, {"Retry-After": "90"}
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(PluginError) as refused:
            await plugin.ship([error()])
        assert 90 - (time.monotonic() - began) <= refused.value.after <= 90
    await plugin.close()
    assert len(http.refused) == 1, "it asked again although it was told not to"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"x-sentry-rate-limits": "60:error;transaction:organization"}, 60.0),
        ({"x-sentry-rate-limits": "60:transaction:key"}, 0.0),
        ({"x-sentry-rate-limits": "60::organization, 90:error:key"}, 90.0),
        ({"x-sentry-rate-limits": "what:error:key"}, 0.0),
    ],
)
def test_which_limits_concern_errors(headers: dict[str, str], seconds: float) -> None:
    assert limited_for(headers) == seconds


async def test_one_bad_event_stops_no_other(http: HttpServer) -> None:
    http.on_ask = lambda asked: setattr(http, "status", 413 if b"law1mark" in asked.body else 200)
    with pytest.raises(PluginError, match="1 of 2") as refused:
        await shipped(http, error(), signal("errors", 2))
    assert refused.value.is_final
    assert len(events_in(http)) == 1


async def test_nothing_of_this_process_is_hooked_or_told(http: HttpServer) -> None:
    (event,) = await shipped(http, error())
    assert not sentry_sdk.is_initialized()
    assert "modules" not in event
    assert "vars" not in json.dumps(event)
    assert "extra" not in event or "sys.argv" not in event["extra"]


def test_a_bad_dsn_is_refused_without_being_told() -> None:
    with pytest.raises(ValueError, match="a DSN") as refused:
        Sentry.Config(dsn="canary")
    assert "canary" not in str(refused.value)
