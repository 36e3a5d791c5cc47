"""What a process truly runs is read from the process, not from the files beside it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from steersman.hand.place import Place
from steersman.hand.running import runs

UNIT = "steersman-shop.web.g8@1.service"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    env = tmp_path / "apps/shop/env"
    env.mkdir(parents=True)
    (env / "8").write_text('GREETING="say \\"hi\\" for \\$5\\\\"\nEMPTY=""\n')
    (env / "8.web").write_text('ONLY_WEB="yes"\n')
    names = ("run", "units", "sites", "tmpfiles", "supervisor", "proxy", "scope")
    return Place(root=str(tmp_path), extra={}, **dict.fromkeys(names, ""))


RIGHT = {
    "STEER_APP": "shop",
    "STEER_RELEASE": "8",
    "GREETING": 'say "hi" for $5\\',
    "EMPTY": "",
    "ONLY_WEB": "yes",
}


@contextmanager
def process(**env: str) -> Iterator[int]:
    """Run a process with exactly these variables."""
    wait = "import sys; print(flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", wait],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        child.stdout.readline()  # it has become the program by now
        yield child.pid
        assert child.stdin is not None
        child.stdin.close()


def test_the_release_and_its_variables_are_as_the_files_say(place: Place) -> None:
    with process(**RIGHT, MORE="of its own") as pid:
        assert runs(place, UNIT, pid) == "8"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"STEER_RELEASE": "7"}, "7"),
        ({"GREETING": "other"}, "8!"),
        ({"ONLY_WEB": "no"}, "8!"),
        ({"STEER_APP": "blog"}, ""),
        ({"STEER_RELEASE": ""}, ""),
    ],
)
def test_what_differs_is_told(place: Place, change: dict[str, str], told: str) -> None:
    with process(**{**RIGHT, **change}) as pid:
        assert runs(place, UNIT, pid) == told


def test_a_variable_that_is_missing_differs(place: Place) -> None:
    with process(**{name: value for name, value in RIGHT.items() if name != "ONLY_WEB"}) as pid:
        assert runs(place, UNIT, pid) == "8!"


@pytest.mark.parametrize(
    "unit",
    [
        "steersman-shop.web.g8-hold.service",
        "steersman-shop.web.g8-relay@1.service",
        "steersman-shop_tidy@1.service",
        "nginx.service",
    ],
)
def test_only_instances_of_apps_are_read(place: Place, unit: str) -> None:
    assert runs(place, unit, os.getpid()) == ""


def test_a_process_that_has_ended_runs_nothing(place: Place) -> None:
    with process(**RIGHT) as pid:
        pass
    assert runs(place, UNIT, pid) == ""
    assert runs(place, UNIT, 0) == ""
