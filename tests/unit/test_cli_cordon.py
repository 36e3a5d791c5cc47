"""Hosts cordoned and drained on what is remembered: nothing here needs a host that answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from steersman.api.app import App
from steersman.api.host import Host
from steersman.api.objects import dump_object, parse_object
from steersman.control.memory import Memory
from steersman.control.outcome import HostOutcome, Outcome
from steersman.control.status import app_status
from steersman.store.sqlite import SqliteStore

SHOP = {
    "apiVersion": "steersman/v1",
    "kind": "App",
    "metadata": {"name": "shop"},
    "spec": {
        "source": {"package": "shop==1.0"},
        "processes": {"web": {"command": "gunicorn shop", "port": "http", "replicas": 2}},
        "placement": {"matchExpressions": [{"key": "role", "operator": "Exists"}]},
    },
}


def host(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {"address": "192.0.2.1", "user": "root"}
    meta = {"name": name, "labels": {"role": "web"}, **metadata}
    return {"apiVersion": "steersman/v1", "kind": "Host", "metadata": meta, "spec": spec}


def running(app: dict[str, Any], **on: int) -> dict[str, Any]:
    """Return the status of an app whose web runs on these hosts."""
    rows = [
        {"host": name, "process": "web", "release": 1, "desired": n, "ready": n}
        for name, n in on.items()
    ]
    return {"hosts": sorted(on), "processes": rows, "release": 1}


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """An app that runs on h1 and that h2 takes as well, with nothing to reach either by."""
    async with SqliteStore(tmp_path / "steersman") as store:
        for document in (SHOP, host("h1"), host("h2")):
            await store.put(dump_object(parse_object(document)))
        await store.put_status("App", "shop", running(SHOP, h1=2))
    return tmp_path


def steer(state: Path, *args: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STEER_")}
    return subprocess.run(
        [sys.executable, "-m", "steersman.cli", *args],
        env={**kept, "XDG_STATE_HOME": str(state), "XDG_CACHE_HOME": str(state / "cache")},
        cwd=state,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_cordon_says_what_kubectl_says_and_outlives_an_apply(state: Path) -> None:
    assert steer(state, "host", "cordon", "h2").stdout == "host/h2 cordoned\n"
    assert steer(state, "host", "cordon", "host/h2").stdout == "host/h2 already cordoned\n"
    (state / "h2.json").write_text(json.dumps(host("h2", labels={"role": "web", "zone": "a"})))
    applied = steer(state, "apply", "-f", "h2.json")
    assert "host/h2 configured" in applied.stdout, applied.stderr
    assert "Cordoned" in steer(state, "get", "host/h2").stdout
    assert "no: it is cordoned" in steer(state, "describe", "host/h2").stdout
    assert steer(state, "host", "cordon", "nope").returncode == 1


def test_what_the_manifest_cordoned_is_uncordoned_until_it_says_so_again(state: Path) -> None:
    document = host("h9", labels={})
    document["spec"]["cordoned"] = True
    (state / "h9.json").write_text(json.dumps(document))
    steer(state, "apply", "-f", "h9.json")
    assert "Cordoned" in steer(state, "get", "host/h9").stdout
    assert steer(state, "host", "uncordon", "h9").stdout == "host/h9 uncordoned\n"
    assert "Cordoned" not in steer(state, "get", "host/h9").stdout
    assert steer(state, "host", "uncordon", "h9").stdout == "host/h9 already uncordoned\n"
    steer(state, "apply", "-f", "h9.json")
    assert "Cordoned" in steer(state, "get", "host/h9").stdout


def test_a_drain_with_nowhere_to_go_changes_nothing(state: Path) -> None:
    steer(state, "host", "cordon", "h2")
    refused = steer(state, "host", "drain", "h1")
    assert refused.returncode == 1
    assert "app shop has no other host that fits role" in refused.stderr
    assert "`steer host drain h1 --force`" in refused.stderr
    assert "Drained" not in steer(state, "get", "host/h1").stdout
    steer(state, "host", "drain", "h2")
    assert "Drained" in steer(state, "get", "host/h2").stdout
    assert steer(state, "host", "drain", "h1", "--timeout=soon").returncode == 2


async def test_a_drain_takes_no_longer_than_it_may(state: Path) -> None:
    told = steer(state, "host", "drain", "h1", "--timeout=10ms")
    assert told.returncode == 1
    assert "host h1 is not drained: it took longer than 0.01 s" in told.stderr
    # What was meant is remembered: the next run goes on with it.
    async with SqliteStore(state / "steersman") as store:
        assert (await Memory(store).host("h1")).cordon == "drained"
        assert (await Memory(store).app("shop")).status.hosts == ("h1",)


async def test_scale_changes_what_the_process_counts(state: Path) -> None:
    async with SqliteStore(state / "steersman") as store:
        memory = Memory(store)
        await memory.set_counts(await memory.app("shop"), {"web": 7})
        web = (await memory.app("shop")).spec.processes["web"]
        assert (web.replicas, web.count) == (7, None)


def test_only_a_host_that_was_cleared_is_forgotten() -> None:
    app = App.model_validate({**SHOP, "status": running(SHOP, h1=2, h2=1, h3=1)})
    hosts = {name: Host.model_validate(host(name)) for name in ("h1", "h2", "h3")}
    outcome = Outcome(
        "shop",
        None,
        (HostOutcome("h3", "removed"), HostOutcome("h2", "unreachable")),
    )
    status = app_status(app, hosts, outcome, datetime.now(UTC))
    assert status.hosts == ("h1", "h2")
    assert [(p.host, p.desired, p.ready) for p in status.processes] == [("h1", 2, 2), ("h2", 1, 0)]
