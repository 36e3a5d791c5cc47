"""Programs, logs and rollouts on the embedded host, all of it through a daemon's socket."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator

import pytest

from laws.daemon import Daemon, in_thread
from laws.person import Person, at_home

# Every test of `steer run`, as it is for those who have no daemon.
from laws.test_run import (
    terminal,
    test_a_lost_link_ends_the_program_and_is_told,
    test_a_shell_has_job_control_and_the_release,
    test_a_steer_that_is_ended_restores_the_terminal_and_ends_the_program,
    test_input_comes_as_it_is_written,
    test_input_that_nobody_reads_does_not_hold_steer_up,
    test_keys_reach_the_program_and_not_steer,
    test_pipes_carry_bytes_unchanged_and_errors_apart,
    test_the_window_is_as_large_there_and_grows_with_ours,
    test_what_a_program_leaves_behind_ends_with_it,
    test_what_cannot_be_run_is_told,
)

__all__ = [
    "terminal",
    "test_a_lost_link_ends_the_program_and_is_told",
    "test_a_shell_has_job_control_and_the_release",
    "test_a_steer_that_is_ended_restores_the_terminal_and_ends_the_program",
    "test_input_comes_as_it_is_written",
    "test_input_that_nobody_reads_does_not_hold_steer_up",
    "test_keys_reach_the_program_and_not_steer",
    "test_pipes_carry_bytes_unchanged_and_errors_apart",
    "test_the_window_is_as_large_there_and_grows_with_ours",
    "test_what_a_program_leaves_behind_ends_with_it",
    "test_what_cannot_be_run_is_told",
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, Daemon]]:
    with (
        at_home(tmp_path_factory.mktemp("p")) as made,
        in_thread(made.folder / "state" / "steersman") as served,
    ):
        # The daemon builds for itself what the person's own steer has built already.
        made.steer("apply", "-f", "all.yaml")
        yield made, served


@pytest.fixture(scope="module")
def person(home: tuple[Person, Daemon]) -> Person:
    return home[0]


def without_times(text: str) -> str:
    """Return what was said without what differs from one moment to the next."""
    # Each run of a program has a mark of its own.
    text = re.sub(r"STEER_RUN=[0-9a-f]+", "STEER_RUN=N", text)
    return re.sub(r"\d+(\.\d+)?( of [\d.]+)? ?(Mi|GiB|ms|s)\b|\d+m\d+s|\b\d{2,}\b| +", "N", text)


@pytest.mark.parametrize(
    "line",
    [
        "logs app/crew --timestamps",
        "logs app/crew -p nope",
        "exec app/crew -- sh -c echo",
        "exec app/crew -p second --all-hosts -- env",
        "exec app/crew -- nope",
        "get generations crew -o name",
        "describe app/crew",
        "describe host/here",
        "host check here",
        "host trust here",
        "diff app/crew",
        "diff -f all.yaml",
        "apply -f all.yaml",
        "rollout status app/crew",
    ],
)
def test_looks_and_applies_read_the_same(person: Person, line: str) -> None:
    args = line.split()
    split = args.index("--") if "--" in args else len(args)
    there = person.ended(*args)
    here = person.ended(*args[:split], "--context", "local", *args[split:])
    assert there.returncode == here.returncode, there.stderr
    assert without_times(there.stdout) == without_times(here.stdout)
    assert without_times(there.stderr) == without_times(here.stderr)


def test_a_rollout_is_told_step_by_step_as_it_is_made(person: Person) -> None:
    told = person.ended("rollout", "restart", "app/crew", "-v")
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert any(re.fullmatch(r"here: crew: .+ \(.+\) \d+\.\d\ds", each) for each in lines), lines
    assert lines[-2:][0] == "app/crew restarted"
    assert re.match(r"app/crew: release \d+ on 1 host \(", lines[-1])


def test_work_goes_on_when_its_client_goes_away(
    person: Person, home: tuple[Person, Daemon]
) -> None:
    served = home[1]
    before = served.parts.works.count
    process = person.start("rollout", "restart", "app/crew", stdout=subprocess.DEVNULL)
    wait_until(lambda: served.parts.works.count == before + 1)
    process.kill()
    process.wait()
    ended = person.ended("rollout", "status", "app/crew", "--timeout=60s")
    assert ended.returncode == 0, ended.stderr
    wait_until(lambda: served.parts.works.count == before)
    newest = person.ended("rollout", "history", "app/crew").stdout.splitlines()[-1]
    assert "deployed" in newest


def wait_until(is_so: Callable[[], bool]) -> None:
    import time

    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
