"""Verbs on what is remembered, with no host to be reached: each is run as people run it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steersman.api.app import App
from steersman.api.objects import dump_object, parse_object
from steersman.store.sqlite import SqliteStore

CANARY = "c4n4ry-Zx9!"
FETCHED = {
    "apiVersion": "steersman/v1",
    "kind": "App",
    "metadata": {"name": "shop"},
    "spec": {
        "source": {"package": "shop==1.0"},
        "config": {"secrets": ["token"]},
        "processes": {"web": {"command": "gunicorn shop", "port": "http"}},
        "routes": [{"host": "shop.example.com", "process": "web"}],
        "placement": {"selector": {"role": "web"}},
    },
}


def release(number: int, state: str, **status: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    spec = {
        "app": "shop",
        "number": number,
        "source": {"package": "shop==1.0"},
        "content": f"package:shop==1.{number}",
        "ref": f"shop==1.{number}",
        "builds": {},
        "digest": f"{number:064x}",
        "template": {"processes": {"web": {"command": ["gunicorn", "shop"], "port": "http"}}},
    }
    made = {"apiVersion": "steersman/v1", "kind": "Release", "spec": spec}
    return {**made, "metadata": {"name": f"shop-{number}"}}, {"state": state, **status}


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """An app with three releases, the last rejected, on no host; a secret that it uses."""
    async with SqliteStore(tmp_path / "steersman") as store:
        app = parse_object(FETCHED)
        assert isinstance(app, App)
        await store.put(dump_object(app))
        for number, verdict in ((1, "superseded"), (2, "deployed"), (3, "rejected")):
            said = {"message": "it crashed", "logs": ["Traceback", "\x1b[2Jboom"]}
            made, status = release(number, verdict, **(said if number == 3 else {}))
            await store.put(made)
            await store.put_status("Release", f"shop-{number}", status)
        spec = {"data": {"TOKEN": {"stored": "hmac-sha256:abc"}}}
        secret = {"apiVersion": "steersman/v1", "kind": "Secret", "metadata": {"name": "token"}}
        await store.put({**secret, "spec": spec})
        await store.put_secret("token", {"TOKEN": CANARY})
        await store.add_event("App", "shop", "Warning", "ReleaseRejected", "it\nboom", "h1")
    return tmp_path


def steer(state: Path, *args: str, **how: Any) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STEER_")}
    env = {**kept, "XDG_STATE_HOME": str(state), "XDG_CACHE_HOME": str(state / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "steersman.cli", *args],
        env={**env, **how.pop("env", {})},
        cwd=state,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_history_is_a_table_and_a_revision_is_all_of_it(state: Path) -> None:
    rows = steer(state, "rollout", "history", "app/shop").stdout.splitlines()
    assert rows[0] == "app/shop"
    assert [row.split()[:2] for row in rows[2:]] == [
        ["1", "superseded"],
        ["2", "deployed"],
        ["3", "rejected"],
    ]
    full = steer(state, "rollout", "history", "shop", "--revision=3").stdout
    assert "app/shop with revision #3" in full
    assert "it crashed" in full and "Traceback" in full
    assert "\\x1b[2Jboom" in full and "\x1b" not in full
    absent = steer(state, "rollout", "history", "shop", "--revision=9")
    assert (absent.returncode, "has no release 9" in absent.stderr) == (1, True)


def test_describe_shows_all_but_the_secret(state: Path) -> None:
    shown = steer(state, "describe", "app/shop", "secret/token", "release/shop-3")
    assert shown.returncode == 0, shown.stderr
    for part in (
        "shop==1.0",
        "role=web",
        "Release 3 was rejected",
        "it crashed",
        "gunicorn --graceful-timeout 29 shop",
    ):
        assert part in shown.stdout
    assert "Used by:      shop" in shown.stdout and "hmac-sha256:abc" in shown.stdout
    assert CANARY not in shown.stdout


def test_describe_goes_past_what_is_not_there(state: Path) -> None:
    shown = steer(state, "describe", "app/nope", "secret/token")
    assert shown.returncode == 1
    assert "app nope is not known" in shown.stderr
    assert "Used by" in shown.stdout


def test_status_says_what_is_missing(state: Path) -> None:
    told = steer(state, "rollout", "status", "app/shop")
    assert told.returncode == 1
    assert "was not rolled out yet" in told.stderr and "steer describe app/shop" in told.stderr


def test_an_app_that_fits_no_host_is_not_well(state: Path) -> None:
    told = steer(state, "rollout", "restart", "app/shop")
    assert told.returncode == 1
    assert "placed on no host (it wants hosts labelled role=web)" in told.stderr


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["scale", "app/shop", "nope=2"], 1, "it has web"),
        (["scale", "app/shop", "web=-1"], 2, "such as web=3"),
        (["scale", "app/shop", "web=99999"], 2, "such as web=3"),
        (["scale", "host/h1", "web=1"], 2, "write app/NAME"),
        (["logs", "app/nope"], 1, "steer get apps"),
        (["logs", "app/shop"], 1, "steer apply"),
        (["logs", "app/shop", "-p", "nope"], 1, "it has web"),
        (["logs", "app/shop", "--since", "soon"], 1, "10m"),
        (["exec", "app/shop", "--", "ls"], 1, "steer apply"),
        (["exec", "app/shop", "--host", "h1", "--all-hosts", "--", "ls"], 2, "--all-hosts"),
        (["rollout", "undo", "app/shop", "--to-revision=9"], 1, "steer rollout history app/shop"),
        (["delete", "secret/token"], 1, "spec.config.secrets"),
        (["delete", "release/shop-1"], 2, "go with their app"),
        (["delete"], 2, "-f"),
        (["delete", "app/nope"], 1, "steer get apps"),
        (["host", "check", "h9"], 1, "-f"),
        (["host", "trust", "h9"], 1, "-f"),
        (["host", "check"], 1, "-f"),
        (["apply", "-f", "absent.yaml"], 1, "absent.yaml"),
        (["diff", "-f", "absent.yaml"], 2, "absent.yaml"),
        (["diff", "app/nope"], 2, "steer get apps"),
        (["diff"], 2, "-f"),
        (["describe", "apps"], 2, "app/NAME"),
    ],
)
def test_every_refusal_shows_the_way_out(
    state: Path, args: list[str], code: int, said: str
) -> None:
    refused = steer(state, *args)
    assert (refused.returncode, refused.stdout) == (code, ""), refused.stderr
    assert said in refused.stderr
    assert "unexpected" not in refused.stderr and "Traceback" not in refused.stderr


async def test_a_refused_undo_changes_nothing(state: Path) -> None:
    steer(state, "rollout", "undo", "app/shop", "--to-revision=9")
    async with SqliteStore(state / "steersman") as store:
        stored = await store.get("App", "shop")
        assert stored is not None
        assert not stored.metadata.get("annotations")


def test_delete_forgets_what_is_on_no_host(state: Path) -> None:
    gone = steer(state, "delete", "secret/token", "app/shop")
    assert (gone.returncode, gone.stdout) == (0, "app/shop deleted\nsecret/token deleted\n")
    assert steer(state, "get", "all").stdout == ""
    assert steer(state, "delete", "app/shop", "--ignore-not-found").returncode == 0


def test_diff_of_a_secret_shows_digests_only(state: Path) -> None:
    manifest = state / "token.yaml"
    manifest.write_text(
        "apiVersion: steersman/v1\nkind: Secret\nmetadata: {name: token}\n"
        "spec: {data: {TOKEN: {fromEnv: NEW}, OTHER: {fromEnv: NEW}}}\n"
    )
    shown = steer(state, "diff", "-f", "token.yaml", env={"NEW": CANARY})
    # The app that uses it has no host to go to, which is an error of its own.
    assert shown.returncode == 2
    assert "+    OTHER:" in shown.stdout and "stored: hmac-sha256:" in shown.stdout
    assert CANARY not in shown.stdout + shown.stderr


def test_apply_says_what_changed_in_kubectls_words(state: Path) -> None:
    host = "apiVersion: steersman/v1\nkind: Host\nmetadata: {name: h1}\nspec: {address: 192.0.2.%d}"
    for address, word in ((1, "created"), (1, "unchanged"), (2, "configured")):
        (state / "host.yaml").write_text(host % address)
        done = steer(state, "apply", "-f", "host.yaml")
        assert (done.returncode, done.stdout) == (0, f"host/h1 {word}\n"), done.stderr
    assert steer(state, "apply", "-f", "host.yaml", "--dry-run").stdout == ""
    (state / "host.yaml").write_text(host % 3)
    assert "192.0.2.3" in steer(state, "apply", "-f", "host.yaml", "--dry-run").stdout
    assert steer(state, "diff", "-f", "host.yaml").returncode == 1
    assert steer(state, "apply", "-f", "host.yaml").stdout == "host/h1 configured\n"
    assert steer(state, "diff", "-f", "host.yaml").returncode == 0


def test_every_verb_has_examples(state: Path) -> None:
    for verb in ("apply", "diff", "describe", "delete", "logs", "scale", "exec", "host", "rollout"):
        shown = steer(state, verb, "--help").stdout
        assert shown.count(f"steer {verb} ") >= 3, shown
