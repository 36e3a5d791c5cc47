"""Samples, marks and signals over HTTP: what comes, and that nobody sees another's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from laws.daemon import ROOT, Daemon, daemon, document
from steersman.api.signals import (
    ErrorReport,
    Exited,
    Frame,
    Happening,
    LogRecord,
    Origin,
    Raised,
    Sample,
)
from steersman.server.limits import Limits
from steersman.server.signalling import Listener, told

SHOP, DESK, HOST = Origin(app="shop", host="h1"), Origin(app="desk"), Origin(host="h1")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(tmp_path / "s", is_tls=True, limits=Limits(alive_every=0.01)) as one:
        now = time.time()
        for ago, value in ((25, 10), (15, 30), (5, 50)):
            for app in ("shop", "desk"):
                labels = {"app": app, "host": "h1", "code": "200"}
                sample = Sample(
                    time=now - ago, name="hits_total", value=value, labels=labels, kind="counter"
                )
                one.parts.hub.publish(sample)
            one.parts.hub.publish(
                Sample(time=now - ago, name="load", value=value, labels={"host": "h1"})
            )
        yield one


async def asked(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    answer = await client.get(f"{ROOT}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_series_are_given_by_name_label_and_step(served: Daemon) -> None:
    async with served.client() as client:
        names = await asked(client, "samples")
        assert names["names"] == [
            {"name": "hits_total", "kind": "counter"},
            {"name": "load", "kind": "gauge"},
        ]
        found = await asked(client, "samples", name="hits_total", rate=1, step=10, app="shop")
        (series,) = found["series"]
        assert series["labels"] == {"app": "shop", "host": "h1", "code": "200"}
        assert series["points"][-1][1] == pytest.approx(2)
        summed = await asked(client, "samples", name="hits_total", by="host", step=60)
        assert [one["labels"] for one in summed["series"]] == [{"host": "h1"}]
        assert sum(value for _, value in summed["series"][0]["points"]) == pytest.approx(80)
        none = await asked(client, "samples", name="hits_total", match="code=500")
        assert none["series"] == []
        latest = await asked(client, "samples", name="load", latest=1)
        assert [one["value"] for one in latest["latest"]] == [50]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"how": "most"}, "avg, min, max, last"),
        ({"start": "yesterday"}, "2026-11-25T22:00:00Z"),
        ({"end": "nan"}, "seconds since the epoch"),
        ({"match": "code"}, "LABEL=VALUE"),
        ({"step": "0"}, "from 10 on"),
    ],
)
async def test_what_is_wrong_is_said(served: Daemon, params: dict[str, str], says: str) -> None:
    async with served.client() as client:
        answer = await client.get(f"{ROOT}/samples", params={"name": "load", **params})
        assert (answer.status_code, says in answer.json()["message"]) == (400, True), answer.text


async def test_a_deployer_sees_its_own_app_alone(served: Daemon) -> None:
    deployer = await served.token("ci", "deploy:shop")
    reader = await served.token("eye", "read")
    async with served.client(deployer) as client:
        assert [one["name"] for one in (await asked(client, "samples"))["names"]] == ["hits_total"]
        for params in ({}, {"app": "shop"}, {"host": "h1"}, {"by": "app"}):
            found = await asked(client, "samples", name="hits_total", step=60, **params)
            assert [one["labels"]["app"] for one in found["series"]] == ["shop"], params
        summed = await asked(client, "samples", name="hits_total", step=60, by="host")
        assert sum(value for _, value in summed["series"][0]["points"]) == pytest.approx(40)
        assert (await asked(client, "samples", name="load"))["series"] == []
        assert (await asked(client, "samples", name="load", latest=1))["latest"] == []
        assert (await asked(client, "samples", name="hits_total", app="desk"))["series"] == []
        assert (await client.get(f"{ROOT}/signals?app=desk")).status_code == 403
    async with served.client(reader) as client:
        assert len((await asked(client, "samples", name="load"))["series"]) == 1
        assert len((await asked(client, "samples", name="hits_total"))["series"]) == 2


async def test_releases_are_marks_on_the_axis(served: Daemon) -> None:
    for app, number, state in (("shop", 1, "superseded"), ("shop", 2, "deployed"), ("desk", 1, "")):
        made = document("Release", f"{app}-{number}", {"app": app, "number": number})
        store = served.parts.store
        await store.put(made)
        await store.put_status("Release", f"{app}-{number}", {"state": state or "pending"})
    async with served.client(await served.token("ci", "deploy:shop")) as client:
        found = (await asked(client, "marks"))["items"]
        assert [(one["app"], one["number"], one["state"]) for one in found] == [
            ("shop", 1, "superseded"),
            ("shop", 2, "deployed"),
        ]
        assert all(one["time"].startswith("20") for one in found)
        assert (await asked(client, "marks", app="desk"))["items"] == []
    async with served.client() as client:
        assert len((await asked(client, "marks"))["items"]) == 3
        assert len((await asked(client, "marks", app="desk"))["items"]) == 1


async def heard(client: httpx.AsyncClient, served: Daemon, count: int, **options: Any) -> list[str]:
    """Return the first `count` lines that say something, of what four signals make."""
    lines: list[str] = []
    async with client.stream("GET", f"{ROOT}/signals", **options) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if not lines and "aliv" in line:
                for origin in (SHOP, DESK, HOST):
                    served.parts.hub.publish(LogRecord(time=1.0, origin=origin, text="hello"))
                served.parts.hub.publish(Exited(time=1.0, origin=SHOP, signal="SEGV"))
            elif line and not line.startswith(":") and "alive" not in line:
                lines.append(line)
            if len(lines) == count:
                break
    return lines


async def test_signals_come_as_they_are_published(served: Daemon) -> None:
    async with served.client(await served.token("ci", "deploy:shop")) as client:
        lines = [orjson.loads(line) for line in await heard(client, served, 2)]
        assert [*lines[0], *lines[1]] == ["logs", "exits"]
        assert lines[0]["logs"]["origin"]["app"] == lines[1]["exits"]["origin"]["app"] == "shop"
    async with served.client() as client:
        lines = [
            orjson.loads(line) for line in await heard(client, served, 3, params={"kind": "logs"})
        ]
        assert [one["logs"]["origin"]["app"] for one in lines] == ["shop", "desk", ""]
        events = await heard(
            client, served, 4, params={"app": "shop"}, headers={"Accept": "text/event-stream"}
        )
        assert events[::2] == ["event: logs", "event: exits"]
        assert orjson.loads(events[3].removeprefix("data: "))["signal"] == "SEGV"
        assert (await client.get(f"{ROOT}/signals?kind=x")).status_code == 400


async def test_a_listener_that_is_slow_misses_some_and_is_told(served: Daemon) -> None:
    hub = served.parts.hub
    listener = Listener(frozenset({"logs"}), lambda signal: True, most=2)
    items = listener.items(hub)
    first = asyncio.ensure_future(anext(items))
    await asyncio.sleep(0)
    for number in range(5):
        hub.publish(LogRecord(time=number, origin=SHOP, text=str(number)))
    assert [(await first)["logs"]["text"], (await anext(items))["logs"]["text"]] == ["0", "1"]
    assert await anext(items) == {"dropped": 3}
    hub.publish(LogRecord(time=9, origin=SHOP, text="9"))
    assert (await anext(items))["logs"]["text"] == "9"
    await items.aclose()


def test_every_signal_has_a_form_in_json() -> None:
    frame = Frame(file="a.py", line=3, function="f", before=("x",))
    crumb = LogRecord(time=0.5, origin=SHOP, text="before", fields={"n": 1})
    report = ErrorReport(
        time=1.0,
        origin=SHOP,
        kind="exception",
        title="ValueError: x",
        fingerprint="f",
        exceptions=(Raised(type="ValueError", message="x", frames=(frame,)),),
        breadcrumbs=(crumb,),
    )
    data = orjson.loads(orjson.dumps(told(report)))["errors"]
    assert data["kind"] == "exception"
    assert data["exceptions"][0]["frames"][0]["before"] == ["x"]
    assert data["breadcrumbs"][0]["fields"] == {"n": 1}
    happened = Happening(time=1.0, origin=SHOP, about="App/shop", reason="R", message="m")
    assert orjson.loads(orjson.dumps(told(happened)))["events"]["about"] == "App/shop"
    sample = told(Sample(time=1.0, name="n", value=2.0, labels={"a": "b"}))["metrics"]
    assert (sample["kind"], sample["labels"]) == ("gauge", {"a": "b"})
