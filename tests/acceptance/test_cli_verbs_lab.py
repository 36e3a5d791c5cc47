"""Verbs that talk to running processes: logs, exec, describe, rollout, scale, on one real host."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.commands import wait_until
from lab.fixtures import make_lab
from lab.lab import Lab

__all__ = ["make_lab"]

pytestmark = pytest.mark.lab

WORKER = """\
import os, sys, time
print("begins", os.environ["MOOD"], "\\x1b[2Jand clears", flush=True)
while True:
    time.sleep(60)
"""
APP = """\
apiVersion: steersman/v1
kind: App
metadata: {name: crew}
spec:
  source: {path: src}
  config: {env: {MOOD: calm}}
  processes:
    first: {command: python worker.py}
    second: {command: python worker.py, env: {MOOD: wild}}
"""


class Person:
    """A state, a cache and a folder of manifests, and the host that they are for."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        self.folder = folder
        self.host = lab.hosts[0]
        self.env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        lab.write_reach(folder)
        (folder / "src").mkdir()
        (folder / "src/worker.py").write_text(WORKER)
        (folder / "app.yaml").write_text(APP)

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "steersman.cli", *args],
            env=self.env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def steer(self, *args: str, expect: int = 0) -> str:
        process = self.start(*args)
        out, err = process.communicate(timeout=240)
        assert process.returncode == expect, f"steer {' '.join(args)}: {out}{err}"
        return out + err

    def answers(self) -> bool:
        process = self.start("host", "check")
        process.communicate(timeout=240)
        return process.returncode == 0

    def runs(self, words: str) -> bool:
        return words in self.host.run(["ps", "-eo", "args"])


@pytest.fixture(scope="module")
def crew(
    make_lab: Callable[[int], Lab], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Person]:
    """An app of two processes on one host."""
    lab = make_lab(1)
    person = Person(tmp_path_factory.mktemp("crew"), lab)
    person.steer("apply", "-f", "hosts.yaml", "-f", "app.yaml")
    yield person
    person.steer("delete", "app/crew", "host/h1")
    assert not (person.host.root / "srv/steersman").exists()
    lab.down()


def test_logs_are_labelled_and_tamed(crew: Person) -> None:
    lines = crew.steer("logs", "crew").splitlines()
    said = [line for line in lines if "begins" in line]
    assert sorted(line.split(" | ")[0].split() for line in said) == [
        ["h1", "first.1"],
        ["h1", "second.1"],
    ]
    assert all("\\x1b[2Jand clears" in line and "\x1b" not in line for line in said)
    only = crew.steer("logs", "crew", "-p", "second", "--timestamps").splitlines()
    assert not [line for line in only if "first" in line]
    assert only[0][:4].isdigit()
    assert crew.steer("logs", "crew", "--since", "1s", "--tail", "0") == ""


def test_followed_logs_cross_to_the_next_generation(crew: Person) -> None:
    following = crew.start("logs", "crew", "-f", "-p", "first")
    out = following.stdout
    assert out is not None
    while "begins calm" not in out.readline():
        pass
    crew.steer("rollout", "restart", "crew")
    while "begins calm" not in out.readline():
        pass
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=30)
    assert following.returncode == 130
    wait_until(lambda: not crew.runs("journalctl"), "the end of the host's journalctl")


def test_exec_is_the_app_itself(crew: Person) -> None:
    words = 'id -un; basename "$(pwd)"; echo $MOOD; python -c "import sys; print(sys.prefix)"'
    user, folder, mood, prefix = crew.steer("exec", "crew", "--", "sh", "-c", words).splitlines()
    assert (user, folder, mood) == ("app-crew", "src", "calm")
    assert prefix.startswith("/srv/steersman/apps/crew/")
    assert crew.steer("exec", "crew", "-p", "second", "--", "sh", "-c", "echo $MOOD") == "wild\n"
    assert crew.steer("exec", "crew", "--", "sh", "-c", "exit 7", expect=7) == ""
    assert crew.steer("exec", "crew", "--all-hosts", "--", "echo", "ok") == "ok\n"
    assert "not in the release's PATH" in crew.steer("exec", "crew", "--", "nope", expect=127)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_exec_ends_with_its_steer(crew: Person, end: signal.Signals) -> None:
    words = ["sh", "-c", "echo up; sleep 4242; true"]
    process = crew.start("exec", "crew", "--", *words)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(end)
    process.communicate(timeout=30)
    wait_until(lambda: not crew.runs("sleep 4242"), "the end of what steer had started")


def test_describe_shows_processes_as_they_are(crew: Person) -> None:
    shown = crew.steer("describe", "app/crew")
    row = next(line.split() for line in shown.splitlines() if line.startswith("  h1"))
    assert row[1] == "first.1" and row[3] == "running" and row[5].isdigit()
    assert crew.host.run(["cat", f"/proc/{row[5]}/comm"]).strip()
    assert "python worker.py" in shown
    host = crew.steer("describe", "host/h1")
    assert "ok   systemd" in host and "crew   first.1" in host


def test_diff_tells_drift_and_apply_mends_it(crew: Person) -> None:
    assert "nothing to do" in crew.steer("diff", "app/crew")
    unit = next(
        u for u in crew.host.run(["systemctl", "list-units", "--plain"]).split() if ".second." in u
    )
    crew.host.run(["systemctl", "stop", unit])
    drift = crew.steer("diff", "app/crew", expect=1)
    assert f"start {unit} (inactive)" in drift
    assert "converged" in crew.steer("apply", "-f", "app.yaml")
    assert "nothing to do" in crew.steer("diff", "-f", "app.yaml")


def test_scale_undo_and_status(crew: Person) -> None:
    crew.steer("scale", "app/crew", "first=3", "second=0")
    assert crew.steer("describe", "app/crew").count("running") == 3
    crew.steer("rollout", "restart", "crew")
    before = crew.steer("rollout", "history", "crew").splitlines()
    assert "skipped rollback" in crew.steer(
        "rollout", "undo", "crew", f"--to-revision={before[-1].split()[0]}"
    )
    assert "app/crew rolled back" in crew.steer("rollout", "undo", "crew")
    told = crew.steer("rollout", "status", "crew")
    assert "successfully rolled out" in told and "on h1" in told
    # What went back starts anew when it is told to, and stays where it is.
    crew.steer("rollout", "restart", "crew")
    states = [line.split()[1] for line in crew.steer("rollout", "history", "crew").splitlines()[2:]]
    assert states == ["superseded"] * len(states[:-1]) + ["deployed"]
    assert len(states) == len(before[2:]) + 2


def test_a_host_that_is_away_is_said_and_not_waited_for(crew: Person) -> None:
    crew.host.unplug()
    shown = crew.steer("describe", "app/crew")
    assert "h1: not known" in shown
    crew.host.plug()
    wait_until(crew.answers, "the host's return")
