"""get -w, events -w and wait follow the store while another process changes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from steersman.cli.app import run
from steersman.cli.wait import Condition, Existence, Value, WishType
from steersman.store.sqlite import SqliteStore

PATIENCE = 60


def app(name: str, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels}
    spec = {"source": {"path": "/src"}}
    return {"apiVersion": "steersman/v1", "kind": "App", "metadata": metadata, "spec": spec}


def ready(status: str, generation: int = 1, **more: Any) -> dict[str, Any]:
    said = {"type": "Ready", "status": status, "observedGeneration": generation}
    return {"conditions": [{**said, "reason": "HostsFailed", "message": "h2 is away"}], **more}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "state") as opened:
        await opened.put(app("shop", tier="front"))
        await opened.put_status("App", "shop", ready("True", release=7))
        await opened.put(app("blog"))
        yield opened


@contextmanager
def steer(store: SqliteStore, *args: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "steersman.cli", *args]
    with subprocess.Popen(
        [*command, "--state-dir", str(store.path.parent)],
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    read = process.stdout.readline()
    if not read and process.stderr is not None:
        raise AssertionError(process.stderr.read())
    return re.split(r" {3,}", read.rstrip("\n"))


async def test_get_prints_each_change_under_one_header(store: SqliteStore) -> None:
    with steer(store, "get", "apps", "-w", "--show-labels") as process:
        assert line(process)[0] == "NAME"
        assert [line(process)[0], line(process)[0]] == ["blog", "shop"]
        await store.put_status("App", "shop", ready("False", release=8))
        assert line(process)[:4] == ["shop", "0/0", "8", "NotReady"]
        await store.put({**app("new", tier="back")})
        assert line(process)[-1] == "tier=back"
        await store.delete("App", "shop")
        assert line(process)[0] == "shop"


async def test_watch_only_leaves_out_what_is_there(store: SqliteStore) -> None:
    with steer(store, "get", "app/shop", "--watch-only", "-o", "json") as process:
        # Nothing tells when it has begun to watch: a first change may be before that.
        for count in range(1, 1000):
            await store.put_status("App", "shop", ready("True", release=count))
            if process.poll() is None and _has_line(process):
                break
        assert process.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            text += process.stdout.readline()
        assert json.loads(text)["status"]["release"] >= 1


def _has_line(process: subprocess.Popen[str]) -> bool:
    import select

    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0.1)[0])


async def test_labels_choose_what_is_watched(store: SqliteStore) -> None:
    with steer(store, "get", "apps", "-l", "tier=front", "-w", "-o", "name") as process:
        assert line(process) == ["app/shop"]
        await store.put_status("App", "blog", ready("True"))
        await store.put(app("blog", tier="front"))
        assert line(process) == ["app/blog"]


async def test_events_of_one_object_as_they_come(store: SqliteStore) -> None:
    await store.add_event("App", "shop", "Normal", "Deployed", "release 7 serves")
    await store.add_event("App", "blog", "Normal", "Deployed", "not of interest")
    with steer(store, "events", "--for", "app/shop", "-w") as process:
        assert line(process) == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "HOST", "MESSAGE"]
        assert line(process)[1:] == ["Normal", "Deployed", "app/shop", "<none>", "release 7 serves"]
        await store.add_event("App", "blog", "Warning", "Crashed", "not of interest")
        await store.add_event("App", "shop", "Warning", "Crashed", "oh\x1b[31m", "h1")
        assert line(process)[1:] == ["Warning", "Crashed", "app/shop", "h1", "oh\\x1b[31m"]
        await store.add_event("App", "shop", "Warning", "Crashed", "oh\x1b[31m", "h1")
        assert line(process)[-1] == "oh\\x1b[31m (x2)"


def said(
    store: SqliteStore, capsys: pytest.CaptureFixture[str], *args: str, code: int = 0
) -> tuple[str, str]:
    # In a thread, as the loop of the test is busy with the test.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        ran = pool.submit(run, [*args, "--state-dir", str(store.path.parent)]).result(PATIENCE)
    out, err = capsys.readouterr()
    assert ran == code, err
    return out, err


async def test_events_are_listed_by_type(
    store: SqliteStore, capsys: pytest.CaptureFixture[str]
) -> None:
    await store.add_event("App", "shop", "Normal", "Deployed", "fine")
    await store.add_event("App", "shop", "Warning", "Crashed", "bad")
    assert "fine" not in said(store, capsys, "events", "--types", "warning")[0]
    assert (
        said(store, capsys, "events", "--types=Normal,Warning", "--no-headers")[0].count("\n") == 2
    )
    assert said(store, capsys, "events", "--for=app/nope") == ("", "no events found\n")
    assert "Normal and Warning" in said(store, capsys, "events", "--types=Bad", code=2)[1]
    assert "app/NAME" in said(store, capsys, "events", "--for=app", code=2)[1]


async def test_wait_ends_when_the_last_is_as_wanted(store: SqliteStore) -> None:
    with steer(store, "wait", "apps", "--all", "--for=condition=ready", "--timeout=60s") as process:
        assert line(process) == ["app/shop condition met"]
        await store.put_status("App", "blog", ready("False"))
        await store.put_status("App", "blog", ready("True"))
        assert line(process) == ["app/blog condition met"]
        assert process.wait(PATIENCE) == 0


async def test_wait_for_deletion_creation_and_values(store: SqliteStore) -> None:
    wish = "--for=jsonpath={.status.release}=9"
    with steer(store, "wait", "app/shop", "app/blog", "--for=delete", "--timeout=60s") as gone:
        await store.delete("App", "blog")
        assert line(gone) == ["app/blog condition met"]
        with steer(store, "wait", "app/shop", wish, "--timeout=60s") as nine:
            await store.put_status("App", "shop", ready("True", release=9))
            assert line(nine) == ["app/shop condition met"]
        with steer(store, "wait", "app/new", "--for=create", "--timeout=60s") as new:
            await store.put(app("new"))
            assert line(new) == ["app/new condition met"]
        await store.delete("App", "shop")
        assert line(gone) == ["app/shop condition met"]
        assert gone.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (
            ["app/shop", "--for=condition=Ready=False"],
            1,
            "Ready is True (HostsFailed: h2 is",
        ),
        (["app/blog", "--for=condition=Ready"], 1, "it has no condition Ready"),
        (["app/shop", "--for=delete"], 1, "it is still there"),
        (["app/nope", "--for=create"], 1, "it is not there"),
        (["app/shop", "--for=jsonpath=.status.release=8"], 1, ".status.release is 7"),
        (["app/shop", "--for=jsonpath={.status.nope}"], 1, "is not there"),
        (["app/nope", "--for=condition=Ready"], 1, "not found"),
        (["apps", "-l", "tier=none", "--for=condition=Ready"], 1, "no matching objects"),
        (["apps", "--for=condition=Ready"], 2, "--all"),
        (["app/shop", "--for=ready"], 2, "condition=Ready"),
        (["app/shop"], 2, "--for"),
        (["app/shop", "--for=jsonpath={.a"], 1, "character 1"),
    ],
)
async def test_what_is_not_as_wanted_in_time_is_told(
    store: SqliteStore,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    code: int,
    why: str,
) -> None:
    out, err = said(store, capsys, "wait", *args, "--timeout=0s", code=code)
    assert (out, why in err) == ("", True), err


async def test_what_is_so_already_is_not_waited_for(
    store: SqliteStore, capsys: pytest.CaptureFixture[str]
) -> None:
    met = "app/shop condition met\n"
    assert said(store, capsys, "wait", "app/shop", "--for=condition=Ready", "--timeout=0")[0] == met
    assert said(store, capsys, "wait", "app/none", "--for=delete")[0] == "app/none condition met\n"
    assert said(store, capsys, "wait", "apps", "-l", "a=b", "--for=delete")[0] == ""


def test_a_condition_of_an_earlier_generation_does_not_count() -> None:
    obj = {"metadata": {"generation": 3}, "status": ready("True", generation=2)}
    wish = Condition("Ready")
    assert not wish.is_met(obj)
    assert "earlier generation" in wish.told(obj)
    assert wish.is_met({**obj, "status": ready("True", generation=3)})
    assert wish.is_met({**obj, "status": ready("True", generation=0)})


def test_what_for_may_say() -> None:
    def read(text: str) -> object:
        return WishType().convert(text, None, None)

    assert read("condition=Ready=Unknown") == Condition("Ready", "Unknown")
    assert read("Delete") == Existence(is_wanted=False)
    assert read('jsonpath={.a[?(@.b=="c")].d}=x=y') == Value('{.a[?(@.b=="c")].d}', "x=y")
    assert read("jsonpath=.a.b=") == Value(".a.b", "")
    assert read("jsonpath={.a}") == Value("{.a}", None)
