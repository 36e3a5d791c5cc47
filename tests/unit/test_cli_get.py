"""steer get prints what the store remembers."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from steersman.cli.columns import phase
from steersman.cli.documents import write_documents
from steersman.cli.tables import age, table
from steersman.manifests.scalars import read_scalar
from steersman.store.sqlite import SqliteStore

CANARY = "c4n4ry-Zx9!"


def made(kind: str, name: str, spec: dict[str, Any], **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "steersman/v1", "kind": kind, "metadata": metadata, "spec": spec}


def condition(type_: str, status: str = "True", reason: str = "") -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason}


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """A state folder with a little of everything."""
    folder = tmp_path / "steersman"
    async with SqliteStore(folder) as store:
        route = {"host": "shop.example.com", "path": "/", "process": "web"}
        source = {"git": {"url": "https://git.example.com/shop.git", "ref": "main"}}
        await store.put(made("App", "shop", {"source": source, "routes": [route]}, tier="front"))
        status = {
            "conditions": [condition("Ready")],
            "release": 7,
            "commit": "0123456789abcdef",
            "hosts": ["h1", "h2"],
            "processes": [{"ready": 2, "desired": 2}, {"ready": 1, "desired": 2}],
        }
        await store.put_status("App", "shop", status)
        await store.put(made("App", "blog", {"source": {"path": "."}}))
        await store.put(made("Host", "h1", {"address": "192.0.2.1", "cordoned": True}))
        await store.put_status("Host", "h1", {"conditions": [condition("Ready", "False")]})
        await store.put(made("Secret", "shop", {"data": {"TOKEN": {"stored": "hmac:1"}}}))
        await store.put_secret("shop", {"TOKEN": CANARY})
        await store.put(made("Release", "shop-10", {"app": "shop", "commit": "f" * 40}))
        await store.put(made("Release", "shop-9", {"app": "shop"}))
        await store.add_event("App", "shop", "Warning", "Crashed", "\x1b[31mline\nline", "h1")
        await store.add_event("App", "shop", "Warning", "Crashed", "\x1b[31mline\nline", "h1")
    return tmp_path


def get(state: Path, *args: str) -> subprocess.CompletedProcess[str]:
    said = subprocess.run(
        [sys.executable, "-m", "steersman.cli", "get", *args],
        env={**os.environ, "XDG_STATE_HOME": str(state)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert CANARY not in said.stdout + said.stderr
    return said


def lines(state: Path, *args: str) -> list[list[str]]:
    return [re.split(r" {3,}", line) for line in get(state, *args).stdout.splitlines()]


def test_a_table_of_apps(state: Path) -> None:
    header, blog, shop = lines(state, "apps")
    assert header == ["NAME", "READY", "RELEASE", "STATUS", "HOSTS", "AGE"]
    assert blog[:5] == ["blog", "0/0", "<none>", "Pending", "0"]
    assert shop[:5] == ["shop", "3/4", "7", "Ready", "2"]
    assert re.fullmatch(r"\d+s", shop[5])


def test_wide_adds_columns(state: Path) -> None:
    header, shop = lines(state, "app", "shop", "-o", "wide")
    assert header[6:] == ["COMMIT", "ROUTES", "SOURCE"]
    assert shop[6:] == ["0123456789", "shop.example.com/", "https://git.example.com/shop.git@main"]


def test_hosts_secrets_and_releases(state: Path) -> None:
    assert lines(state, "hosts")[1][:4] == ["h1", "NotReady,Cordoned", "192.0.2.1", "0"]
    assert lines(state, "secrets", "-o", "wide")[1][::3] == ["shop", "TOKEN"]
    releases = lines(state, "rel")[1:]
    assert [row[0] for row in releases] == ["shop-9", "shop-10"]
    assert releases[1][1:4] == ["shop", "pending", "f" * 10]


def test_events_are_counted_and_harmless(state: Path) -> None:
    header, event = lines(state, "events")
    assert header == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "HOST", "MESSAGE"]
    assert event[1:] == ["Warning", "Crashed", "app/shop", "h1", "\\x1b[31mline\\nline (x2)"]


def test_all_names_the_kind_of_each(state: Path) -> None:
    shown = get(state, "all").stdout
    assert shown.count("NAME ") == 4
    for name in ("app/shop", "app/blog", "host/h1", "secret/shop", "release/shop-9"):
        assert f"\n{name} " in shown
    assert get(state, "all", "-o", "name").stdout.split()[:3] == ["app/blog", "app/shop", "host/h1"]


def test_a_named_object_is_one_document(state: Path) -> None:
    shop = json.loads(get(state, "app", "shop", "-o", "json").stdout)
    assert shop["metadata"]["labels"] == {"tier": "front"}
    assert shop["status"]["release"] == 7
    assert yaml.safe_load(get(state, "app/shop", "-o", "yaml").stdout) == shop


def test_several_are_a_list_in_json_and_a_stream_in_yaml(state: Path) -> None:
    listed = json.loads(get(state, "apps", "-o", "json").stdout)
    assert listed["kind"] == "List"
    streamed = list(yaml.safe_load_all(get(state, "apps", "-o", "yaml").stdout))
    assert streamed == listed["items"]
    assert json.loads(get(state, "hosts", "-l", "no=1", "-o", "json").stdout)["items"] == []
    event = json.loads(get(state, "events", "-o", "json").stdout)["items"][0]
    assert event["spec"]["count"] == 2
    name = event["metadata"]["name"]
    assert get(state, f"event/{name}", "-o", "name").stdout == f"event/{name}\n"


def test_labels_choose(state: Path) -> None:
    assert get(state, "apps,hosts", "-l", "tier=front", "-o", "name").stdout == "app/shop\n"
    refused = get(state, "app", "shop", "-l", "tier=front")
    assert refused.returncode == 2
    assert "leave the names out" in refused.stderr
    assert get(state, "apps", "-l", "a==b==c").returncode == 1


def test_the_missing_are_named_and_the_others_shown(state: Path) -> None:
    said = get(state, "app/shop", "app/nope", "host/gone", "-o", "name")
    assert said.returncode == 1
    assert said.stdout == "app/shop\n"
    assert [line.split(":")[1] for line in said.stderr.splitlines()] == [" App nope", " Host gone"]


def test_nothing_is_said_on_stderr_and_is_no_error(tmp_path: Path) -> None:
    said = get(tmp_path, "apps")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "no apps found\n")


@pytest.mark.parametrize("what", [["apps", "app/shop"], ["app,host", "shop"], ["app/"], ["pods"]])
def test_what_cannot_be_meant_is_wrong_usage(tmp_path: Path, what: list[str]) -> None:
    assert get(tmp_path, *what).returncode == 2


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (192, "3m12s"),
        (3599, "59m"),
        (3 * 3600 + 60, "3h1m"),
        (30 * 3600, "30h"),
        (3 * 86400 + 7200, "3d2h"),
        (400 * 86400, "400d"),
        (3 * 365 * 86400, "3y"),
        (-5, "0s"),
    ],
)
def test_ages_are_kubectls(seconds: int, shown: str) -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    assert age((now - timedelta(seconds=seconds)).isoformat(), now) == shown


@pytest.mark.parametrize(
    ("conditions", "word"),
    [
        ([], "Pending"),
        ([condition("Ready")], "Ready"),
        ([condition("Ready", "False")], "NotReady"),
        ([condition("Ready"), condition("Reconciling")], "Reconciling"),
        ([condition("Ready"), condition("Stalled", reason="ReleaseRejected")], "ReleaseRejected"),
        ([condition("Stalled", "False"), condition("Ready")], "Ready"),
    ],
)
def test_one_word_for_all_conditions(conditions: list[dict[str, str]], word: str) -> None:
    assert phase({"status": {"conditions": conditions}}) == word


def test_columns_line_up() -> None:
    assert (
        table([["NAME", "AGE"], ["a-long-name", "1s"]]) == "NAME          AGE\na-long-name   1s\n"
    )


@pytest.mark.parametrize(
    "text",
    ["on", "NO", "010", "0o17", "0x1F", "1e3", "1.", ".5", "~", "", "null", "1:30", "2026-11-01"],
)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    written = write_documents([{"a": text}], "yaml")
    root = yaml.compose(written)
    assert root is not None
    (_, node), *_ = root.value
    tag = None if node.style is None else "tag:yaml.org,2002:str"
    assert read_scalar(node.value, tag, is_plain=node.style is None) == text


def test_templates_print_fields_of_one_or_of_all(state: Path) -> None:
    shown = get(state, "app", "shop", "-o", "jsonpath={.spec.source.git.ref} {.status.release}")
    assert shown.stdout == "main 7"
    every = '-o=jsonpath={range .items[*]}{.metadata.name}{"\\n"}{end}'
    assert get(state, "apps", every).stdout == "blog\nshop\n"
    assert get(state, "apps", "-o", ".metadata.name").returncode == 2
    as_json = get(state, "apps", "-o", "jsonpath-as-json={.items[*].metadata.name}")
    assert json.loads(as_json.stdout) == ["blog", "shop"]
    wrong = get(state, "apps", "-o", "jsonpath={.items[}")
    assert (wrong.returncode, "character 9" in wrong.stderr) == (1, True)


def test_custom_columns(state: Path) -> None:
    wanted = "-o=custom-columns=APP:.metadata.name,URLS:.spec.routes[*].host,N:.status.release"
    assert lines(state, "apps", wanted) == [
        ["APP", "URLS", "N"],
        ["blog", "<none>", "<none>"],
        ["shop", "shop.example.com", "7"],
    ]
    assert lines(state, "apps", "--no-headers", "-o=custom-columns=A:['metadata.name']") == [
        ["blog"],
        ["shop"],
    ]
    assert "TITLE:PATH" in get(state, "apps", "-o=custom-columns=oops").stderr


def test_order_and_labels_and_no_headers(state: Path) -> None:
    def names(*args: str) -> list[str]:
        return [row[0] for row in lines(state, *args, "--no-headers")]

    assert names("rel", "--sort-by", "{.metadata.name}") == ["shop-9", "shop-10"]
    assert names("rel", "--sort-by=.spec.commit") == ["shop-9", "shop-10"]
    assert names("apps", "--sort-by=status.release") == ["blog", "shop"]
    lost = get(state, "apps", "--sort-by=.spec.nope")
    assert (lost.returncode, "none of the objects has .spec.nope" in lost.stderr) == (2, True)
    header, blog, shop = lines(state, "apps", "--show-labels")
    assert [header[-1], blog[-1], shop[-1]] == ["LABELS", "<none>", "tier=front"]
    assert "NAME" not in get(state, "all", "--no-headers").stdout


def test_fields_choose(state: Path) -> None:
    assert get(state, "rel", "--field-selector=metadata.name=shop-9", "-o=name").stdout == (
        "release/shop-9\n"
    )
    assert get(state, "apps", "--field-selector", "status.release!=7", "-o=name").stdout == (
        "app/blog\n"
    )
    events = get(state, "ev", "--field-selector=spec.type=Normal", "-o=name")
    assert (events.stdout, events.stderr) == ("", "no events found\n")
    assert "metadata.name=shop" in get(state, "apps", "--field-selector", "name").stderr
    assert get(state, "app/shop", "--field-selector=metadata.name=shop").returncode == 2


def test_what_is_not_there_may_be_no_error(state: Path) -> None:
    said = get(state, "app/nope", "--ignore-not-found")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
