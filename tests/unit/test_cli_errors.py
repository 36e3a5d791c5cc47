"""steer get errors and steer describe error, without a daemon and through one."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from laws.daemon import ROOT, Daemon, daemon, in_thread
from steersman.api.objects import dump_object, parse_object
from steersman.api.signals import ErrorReport, Exited, Frame, LogRecord, Origin, Raised
from steersman.cli.app import run
from steersman.store.sqlite import SqliteStore
from steersman.telemetry.errorlog import FILE, ErrorLog
from steersman.telemetry.hub import Hub

CANARY = "c4n4ry-Zx9!"
WEB = Origin(host="h1", app="shop", process="web", instance="1", release=8, commit="0123456789ab")
NAME = "a" * 12
SHOP = {
    "apiVersion": "steersman/v1",
    "kind": "App",
    "metadata": {"name": "shop"},
    "spec": {"source": {"path": "/srv/shop"}},
}

Steer = Callable[..., tuple[int, str]]


def reports() -> list[ErrorReport]:
    view = Frame(
        file="shop/views.py",
        line=12,
        function="total",
        code="    return a / b",
        before=("def total(a, b):", "    \x1b[31mred\x1b[0m"),
        after=("", "x = 1"),
    )
    library = Frame(file="flask/app.py", line=9, function="run", code="view()", is_in_app=False)
    # Days ago: the ages that are shown stay the same while a test runs.
    now = time.time() - 10.5 * 86400
    error = ErrorReport(
        time=now,
        origin=WEB,
        kind="exception",
        title="ZeroDivisionError: \x1b[31mno",
        fingerprint="a" * 32,
        message="\x1b[31mno",
        exceptions=(
            Raised(type="ZeroDivisionError", message="\x1b[31mno\nmore", frames=(library, view)),
            Raised(type="KeyError", message="'a'", frames=(library,), relation="cause", parent=0),
        ),
        breadcrumbs=(LogRecord(time=now, origin=WEB, text="GET /\x1b[2J"),),
    )
    crash = replace(
        error,
        origin=replace(WEB, app="blog"),
        kind="crash-loop",
        title="web ends again and again with exit code 3",
        fingerprint="b" * 32,
        exceptions=(),
        exited=Exited(time=now, origin=WEB, code=3, restarts=4),
    )
    lost = ErrorReport(
        time=now,
        origin=Origin(host="h2"),
        kind="host-unreachable",
        title="host h2: no route",
        fingerprint="c" * 32,
        message="host h2: no route",
    )
    return [error, error, crash, lost]


@pytest.fixture
def steer(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Steer:
    for name in [each for each in os.environ if each.startswith("STEER_")]:
        monkeypatch.delenv(name)
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))

    def one(*args: str) -> tuple[int, str]:
        capfd.readouterr()
        code = run(args)
        said = capfd.readouterr()
        assert "\x1b" not in said.out + said.err
        return code, said.out + said.err

    return one


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder that a daemon has left, with errors in it."""

    async def fill() -> None:
        folder = tmp_path / "steersman"
        async with SqliteStore(folder) as store:
            await store.put(dump_object(parse_object(SHOP)))
            hub, book = Hub(), ErrorLog(folder / FILE)
            async with book.keeping(hub):
                for report in reports():
                    hub.publish(report)

    asyncio.run(fill())
    return tmp_path


def test_without_a_daemon_the_file_tells(steer: Steer, state: Path) -> None:
    code, text = steer("get", "errors")
    assert code == 0
    header, *rows = text.splitlines()
    assert header.split("   ")[0] == "LAST SEEN"
    assert len(rows) == 3
    (row,) = [each for each in rows if NAME in each]
    for cell in ("shop", "2", "8", "shop/views.py:12 total", "ZeroDivisionError: \\x1b[31mno"):
        assert f"   {cell}" in row
    _, wide = steer("get", "error", NAME, "-o", "wide")
    assert "return a / b" in wide
    assert "0123456789" in wide
    _, listed = steer("get", "errors", "-l", "kind=crash-loop", "-o", "json")
    (item,) = json.loads(listed)["items"]
    assert item["spec"]["exited"] == {"code": 3, "restarts": 4}
    _, named = steer("get", "errors", "--app", "shop", "-o", "name")
    assert named == f"error/{NAME}\n"


def test_what_is_asked_wrong_is_said(steer: Steer, state: Path) -> None:
    code, text = steer("get", "error", "nobody")
    assert code == 1
    assert "nobody" in text
    code, text = steer("get", "apps", "--app", "shop")
    assert (code, "--app chooses errors" in text) == (2, True)
    code, text = steer("get", "errors", "-w")
    assert code == 2
    code, text = steer("describe", "error/nobody")
    assert code == 1


def test_describe_shows_the_traceback_with_source(steer: Steer, state: Path) -> None:
    code, text = steer("describe", f"error/{NAME}")
    assert code == 0
    for part in (
        "App:          shop (process web, instance 1)",
        "Release:      8, commit 0123456789",
        "Seen:         2 times",
        "Hosts:        h1 (2)",
        "  ZeroDivisionError: \\x1b[31mno\n    more\n    flask/app.py:9 in run\n          view()\n",
        "    shop/views.py:12 in total\n        10 def total(a, b):\n        11     \\x1b[31mred",
        "    >   12     return a / b\n        13\n        14 x = 1\n",
        "  which was caused by:\n  KeyError: 'a'\n",
        "GET /\\x1b[2J",
    ):
        assert part in text, text
    _, text = steer("describe", f"error/{'b' * 12}")
    assert "Ended:        code 3, after 4 restarts" in text


@pytest.fixture
async def served(tmp_path: Path) -> Any:
    async with daemon(tmp_path / "s", is_tls=True) as one:
        for report in reports():
            one.parts.hub.publish(report)
        assert isinstance(one.parts.errors, ErrorLog)
        await one.parts.errors.write()
        yield one


async def seen(served: Daemon, *scopes: str, **params: str) -> set[str]:
    token = await served.token(f"t{len(scopes)}{len(params)}{scopes[0][:1]}", *scopes)
    async with served.client(token) as client:
        answer = await client.get(f"{ROOT}/errors", params=params)
    assert answer.status_code == 200, answer.text
    return {each["metadata"]["name"][0] for each in answer.json()["items"]}


async def test_a_deployer_sees_the_errors_of_its_own_app(served: Daemon) -> None:
    assert await seen(served, "read") == {"a", "b", "c"}
    assert await seen(served, "read", app="blog") == {"b"}
    assert await seen(served, "deploy:shop") == {"a"}
    assert await seen(served, "deploy:shop", app="blog") == set()
    assert await seen(served, "deploy:blog", "deploy:shop", name="b" * 12) == {"b"}
    async with served.client("nonsense") as client:
        assert (await client.get(f"{ROOT}/errors")).status_code == 401


async def test_what_became_a_secret_is_masked_in_what_was_seen(served: Daemon) -> None:
    leak = replace(reports()[0], title=f"KeyError: {CANARY}", fingerprint="d" * 32)
    served.parts.hub.publish(leak)
    served.parts.masks.learn([CANARY])
    assert isinstance(served.parts.errors, ErrorLog)
    await served.parts.errors.write()
    async with served.client() as client:
        answer = await client.get(f"{ROOT}/errors")
    assert CANARY not in answer.text
    assert "KeyError: " in answer.text


def test_an_app_is_described_with_its_last_errors(steer: Steer, state: Path) -> None:
    code, text = steer("describe", "app/shop")
    assert code == 0
    (row,) = [line for line in text.splitlines() if f"error/{NAME}" in line]
    assert "shop/views.py:12 total" in row
    assert "b" * 12 not in text


@pytest.mark.parametrize(
    "words", ["get errors -o yaml", "get errors --app blog -o name", f"describe error/{NAME}"]
)
def test_a_daemon_tells_as_the_file_does(steer: Steer, state: Path, words: str) -> None:
    with in_thread(state / "steersman"):
        through = steer(*words.split())
        here = steer(*words.split(), "--context", "local")
    assert through == here
    assert through[0] == 0
