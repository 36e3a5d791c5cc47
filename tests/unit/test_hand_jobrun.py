"""What stands around each run of a job: the program as systemd runs it, on folders of its own."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import steersman.hand.jobrun as jobrun

RUNNER = Path(jobrun.__file__)


class Host:
    """An app's folders with releases 1 and 2, and systemd's part played by hand."""

    def __init__(self, folder: Path) -> None:
        self.home, self.run = folder / "apps/shop", folder / "run/shop"
        for number in (1, 2):
            release = self.home / f"releases/{number}-abc"
            release.mkdir(parents=True)
            record = {"number": number, "commit": f"c{number}"}
            (release / "release.json").write_text(json.dumps(record))
        (self.home / "env").mkdir()
        (self.home / "jobs").mkdir()
        (self.home / "env/1").write_text('MOOD="calm"\nODD="a \\"b\\\\ \\$c"\n')
        (self.home / "env/1.worker").write_text('MOOD="wild"\n')
        (self.home / "env/2").write_text('MOOD="new"\n')
        (folder / "bin").mkdir()
        self.systemctl = folder / "bin/systemctl"
        self.systemctl.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n')
        self.systemctl.chmod(0o755)
        self.asked = folder / "asked"
        self.definition = self.home / "jobs/backup.json"
        self.define()
        self.point(1)

    def define(self, **changes: Any) -> None:
        told = {
            "job": "backup",
            "unit": "steersman-shop_backup",
            "home": str(self.home),
            "run": str(self.run),
            "process": "worker",
            "user": "",
            "argv": ["true"],
            "stop": "TERM",
            "retries": 0,
            "keep": {"successful": 2, "failed": 1},
            "once": "",
        }
        self.definition.write_text(json.dumps(told | changes))

    def point(self, number: int) -> None:
        current = self.home / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(f"releases/{number}-abc")

    def call(self, verb: str, invocation: str, instance: str = "run", **env: str) -> int:
        path = f"{self.systemctl.parent}:{os.environ['PATH']}"
        told = {"PATH": path, "INVOCATION_ID": invocation, **env}
        words = [sys.executable, "-I", str(RUNNER), verb, str(self.definition), instance]
        return subprocess.run(words, env=told, capture_output=True, check=False).returncode

    def end(self, invocation: str, result: str = "success", how: str = "0", **kw: str) -> int:
        env = {"SERVICE_RESULT": result, "EXIT_CODE": "exited", "EXIT_STATUS": how}
        return self.call("end", invocation, **{**env, **kw})

    @property
    def runs(self) -> list[dict[str, Any]]:
        path = self.home / "jobs/backup.runs"
        runs: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        return runs

    @property
    def states(self) -> list[str]:
        return [run["state"] for run in self.runs]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize(("process", "port"), [("", "12347"), ("worker", None)])
def test_a_job_of_no_process_has_what_all_that_runs_once_has(
    host: Host, process: str, port: str | None
) -> None:
    (host.home / "env/1.@once").write_text('STATSD_PORT="12347"\n')
    host.define(process=process)
    assert host.call("begin", "a") == 0
    env = json.loads((host.run / "backup@run.run").read_text())["env"]
    assert env.get("STATSD_PORT") == port


def test_a_run_is_pinned_to_the_release_it_began_with(host: Host) -> None:
    assert host.call("begin", "a") == 0
    host.point(2)
    assert (host.run / "backup@run.job").readlink() == host.home / "releases/1-abc"
    told = host.run / "backup@run.run"
    assert told.stat().st_mode & 0o777 == 0o400
    env = json.loads(told.read_text())["env"]
    assert (env["MOOD"], env["STEER_RELEASE"], env["STEER_REVISION"]) == ("wild", "1", "c1")
    assert env["PATH"].startswith(f"{host.home}/releases/1-abc/venv/bin:")
    assert host.end("a") == 0
    assert not list(host.run.iterdir())
    (run,) = host.runs
    assert (run["state"], run["release"], run["code"]) == ("succeeded", 1, 0)
    assert run["ended"] >= run["started"]


def test_a_run_becomes_its_command(host: Host) -> None:
    (host.home / "releases/1-abc/src").mkdir()
    code = "import os, sys; print(os.getcwd(), os.environ['ODD'], *sys.argv[1:])"
    host.define(argv=[sys.executable, "-c", code, "$MOOD ${MOOD}!", "$UNKNOWN", "100% $"])
    host.call("begin", "a")
    words = [sys.executable, "-I", str(RUNNER), "run", f"{host.run}/backup@", "run"]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.stdout == f'{host.home}/releases/1-abc/src a "b\\ $c wild wild!  100% $\n'
    host.define(argv=["no-such-program"])
    host.call("begin", "b")
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 127 and "cannot run no-such-program" in ran.stderr


@pytest.mark.parametrize(
    ("result", "how", "status", "told"),
    [
        ("exit-code", "exited", "7", ("failed", "exit code 7", 7)),
        ("timeout", "killed", "TERM", ("failed", "timeout", 124)),
        ("signal", "killed", "KILL", ("failed", "killed by SIGKILL", 137)),
        ("signal", "killed", "TERM", ("stopped", "killed by SIGTERM", 143)),
        ("oom-kill", "killed", "KILL", ("failed", "oom-kill", 137)),
    ],
)
def test_how_a_run_ended_is_told(
    host: Host, result: str, how: str, status: str, told: tuple[str, str, int]
) -> None:
    host.call("begin", "a")
    host.end("a", result, EXIT_CODE=how, EXIT_STATUS=status)
    (run,) = host.runs
    assert (run["state"], run["result"], run["code"]) == told


def test_a_failed_attempt_is_tried_again_until_there_were_enough(host: Host) -> None:
    host.define(retries=1)
    for attempt in "ab":
        assert host.call("begin", attempt) == 0
        assert host.states == ["running"]
        host.end(attempt, "exit-code", "3")
    assert host.states == ["failed"] and host.runs[0]["invocations"] == ["a", "b"]
    assert host.asked.read_text() == "stop --no-block steersman-shop_backup@run.service\n"
    host.call("begin", "c")
    assert [run["id"] for run in host.runs] == ["a", "c"]


def test_a_timeout_is_not_tried_again(host: Host) -> None:
    host.define(retries=5)
    host.call("begin", "a")
    host.end("a", "timeout", EXIT_CODE="killed", EXIT_STATUS="TERM")
    assert host.states == ["failed"] and "stop" in host.asked.read_text()


def test_what_ran_once_is_skipped_and_never_forgotten(host: Host) -> None:
    host.define(once="once-1-x", keep={"successful": 0, "failed": 0})
    assert host.call("begin", "a", "once-1-x") == 0
    host.end("a", instance="once-1-x")
    assert host.call("begin", "b", "once-1-x") == 1
    host.end("b", "exec-condition", instance="once-1-x")
    host.call("begin", "c")
    host.end("c", "exit-code", "1")
    host.call("begin", "d")
    host.end("d", "exit-code", "1")
    assert [run["id"] for run in host.runs] == ["a", "d"], "and the newest is always known"


def test_old_runs_are_forgotten_by_kind(host: Host) -> None:
    for number, code in enumerate("0011010"):
        host.call("begin", str(number))
        host.end(str(number), "success" if code == "0" else "exit-code", code)
    assert [run["id"] for run in host.runs] == ["4", "5", "6"]
    assert host.states == ["succeeded", "failed", "succeeded"]


def test_a_run_that_died_with_its_host_was_lost(host: Host) -> None:
    host.call("begin", "a")
    host.call("begin", "b")
    assert host.states == ["lost", "running"]


def test_runs_that_overlap_do_not_mix(host: Host) -> None:
    host.call("begin", "a", "one")
    host.call("begin", "b", "two")
    host.end("a", "exit-code", "1", instance="one")
    assert host.states == ["failed", "running"]
    left = sorted(path.name for path in host.run.iterdir())
    assert left == ["backup@two.job", "backup@two.run"]


def test_a_run_waits_for_one_that_writes_its_record(host: Host) -> None:
    folder = os.open(host.definition.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    words = [sys.executable, "-I", str(RUNNER), "begin", str(host.definition), "one"]
    env = {"PATH": os.environ["PATH"], "INVOCATION_ID": "a"}
    with subprocess.Popen(words, env=env) as run:
        # proc_locks(5): an arrow stands before whoever waits.
        while f" {run.pid} " not in "".join(waiting := waiting_for_locks()):
            assert run.poll() is None, f"it did not wait: {waiting}"
        assert host.runs == []
        os.close(folder)
    assert host.states == ["running"]


def waiting_for_locks() -> list[str]:
    return [line for line in Path("/proc/locks").read_text().splitlines() if "->" in line]


def test_without_a_release_the_run_fails_and_says_so(host: Host) -> None:
    (host.home / "current").unlink()
    assert host.call("begin", "a") == 255
    host.end("a", "exit-code", "255")
    assert host.states == ["failed"]


def test_a_job_that_is_gone_is_skipped(host: Host) -> None:
    host.definition.unlink()
    assert host.call("begin", "a") == 1
    assert host.states == []
