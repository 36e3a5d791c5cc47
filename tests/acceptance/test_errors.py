"""Errors of an app that knows nothing of us are seen, where they are and of which release."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from acceptance.book import Book, Error
from acceptance.daemon import serving
from acceptance.steer import Repo, Steer, app
from acceptance.web import get
from lab.commands import wait_until
from lab.host import Host
from lab.lab import Lab

pytestmark = pytest.mark.lab

BARGE = Path(__file__).parent / "barge"
SITE = "barge.example.com"
CANARY = "c4n4ry-0f-th3-b4rg3"
STORM = "/srv/test-storm"


def fails(host: Host, mark: str) -> bool:
    """Ask for what fails; return whether it did. The error tells the mark."""
    return get(host, SITE, f"/cargo?{mark}").status == 500


@pytest.fixture(scope="module")
def barge(
    new_steer: Callable[[], Steer], hosts: Lab, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Steer, Host, str]:
    steer, host = new_steer(), hosts.hosts[0]
    repo = Repo(tmp_path_factory.mktemp("repos") / "barge", BARGE)
    commit = repo.commit({})
    secret = {
        "apiVersion": "steersman/v1",
        "kind": "Secret",
        "metadata": {"name": "barge"},
        "spec": {"data": {"BARGE_TOKEN": {"fromEnv": "BARGE_TOKEN"}}},
    }
    lost = {
        "apiVersion": "steersman/v1",
        "kind": "Host",
        "metadata": {"name": "lost"},
        "spec": {"address": "127.0.0.1", "port": 9},
    }
    placement = {"hosts": [host.name]}
    source = {"git": {"url": "/nonexistent/ghost.git"}}
    ghost = app("ghost", repo, source=source, placement=placement)
    document = app(
        "barge",
        repo,
        processes={
            "web": {"command": "gunicorn app:app", "port": "http"},
            "worker": {"command": "python worker.py"},
        },
        config={"secrets": ["barge"]},
        placement=placement,
    )
    applied = steer.apply(
        *steer.hosts(host), lost, secret, document, ghost, expect=1, BARGE_TOKEN=CANARY
    )
    assert "app barge" not in applied.err
    return steer, host, commit


def test_what_goes_wrong_is_seen_with_its_source(
    barge: tuple[Steer, Host, str], say: Callable[[str], None]
) -> None:
    steer, host, commit = barge
    with serving(steer):
        book = Book(steer)
        wait_until(lambda: fails(host, "early") and book.has("early"), "an error being seen")
        assert fails(host, "late")
        began = time.monotonic()
        wait_until(lambda: book.has("late"), "the next error")
        say(f"an error is listed {time.monotonic() - began:.2f} s after the answer that failed")
        _check_troubles(book)
        (error,) = book.errors("exception")
        _check_error(error, host, commit)
        _check_shown(steer, error)
        host.run(["touch", STORM])
        wait_until(lambda: _is_loop_told(book), "a crash loop")
        host.run(["rm", STORM])
        _check_loop(book)
        everything = steer.run("get", "errors", "-o", "json").out
    names = {f"error/{each['metadata']['name']}" for each in json.loads(everything)["items"]}
    # Without a daemon, what it has kept is read.
    assert {*steer.run("get", "errors", "-o", "name").out.split()} == names
    kept = (Path(steer.env["XDG_STATE_HOME"]) / "steersman" / "errors.db").read_bytes()
    assert b"no crates for" in kept
    assert CANARY.encode() not in kept
    assert CANARY not in everything


def _check_troubles(book: Book) -> None:
    """The controller's own troubles are errors, too."""
    wait_until(lambda: book.count("host-unreachable") > 0, "the lost host")
    (lost,) = book.errors("host-unreachable")
    assert (lost["spec"]["host"], "host lost: " in lost["spec"]["title"]) == ("lost", True)
    wait_until(lambda: book.count("reconcile-failed") > 0, "the failed reconcile")
    (failed,) = book.errors("reconcile-failed")
    assert (failed["spec"]["app"], "ghost.git" in failed["spec"]["title"]) == ("ghost", True)


def _check_error(error: Error, host: Host, commit: str) -> None:
    spec = error["spec"]
    assert spec["title"].startswith("LookupError: no crates for ")
    assert (spec["host"], spec["process"], spec["release"]) == (host.name, "web", 1)
    assert spec["commit"] == commit
    raised, cause = spec["exceptions"]
    assert (cause["type"], cause["relation"], cause["parent"]) == ("ZeroDivisionError", "cause", 0)
    gunicorn, frame = raised["frames"][0], raised["frames"][-1]
    assert (gunicorn["inApp"], frame["inApp"]) == (False, True)
    assert gunicorn["file"].startswith("gunicorn/")
    assert (frame["file"], frame["line"], frame["function"]) == ("barge/cargo.py", 10, "weigh")
    assert frame["code"].startswith('        raise LookupError(f"no crates for')
    source = (BARGE / "barge/cargo.py").read_text().splitlines()
    assert frame["before"] == source[4:9]
    assert frame["after"] == source[10:]


def _check_shown(steer: Steer, error: Error) -> None:
    name = error["metadata"]["name"]
    (row,) = [
        line for line in steer.run("get", "errors", "-o", "wide").out.splitlines() if name in line
    ]
    for cell in (
        "barge",
        "barge/cargo.py:10 weigh",
        "LookupError: no crates for",
        'raise LookupError(f"no crates',
        error["spec"]["commit"][:10],
    ):
        assert f"   {cell}" in row
    text = steer.run("describe", f"error/{name}").out
    assert ">   10         raise LookupError(f" in text
    assert f"error/{name}" in steer.run("describe", "app/barge").out
    assert CANARY not in row + text


def _masts(book: Book) -> list[Error]:
    return [each for each in book.errors("exception") if "mast" in each["spec"]["title"]]


def _is_loop_told(book: Book) -> bool:
    """Return whether ends and what was raised are known of often: each comes by its own way."""
    raised = sum(each["spec"]["count"] for each in _masts(book))
    return book.count("crash-loop") > 3 and raised > 3


def _check_loop(book: Book) -> None:
    """A crash loop is one error, and what was raised in each of its runs is another."""
    (loop,) = book.errors("crash-loop")
    assert book.errors("crash") == []
    assert loop["spec"]["title"] == "worker ends again and again with exit code 1"
    assert loop["spec"]["exceptions"][0]["message"] == "the mast broke"
    (mast,) = _masts(book)
    assert mast["spec"]["exceptions"][0]["frames"][-1]["file"] == "worker.py"
    assert mast["spec"]["count"] > 3
