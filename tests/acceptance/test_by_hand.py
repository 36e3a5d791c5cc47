"""What runs by hand or once on a real host: `steer run` and release commands, as systemd units."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lab.commands import wait_until
from lab.host import Host
from lab.lab import Lab
from laws.terminal import Terminal

pytestmark = pytest.mark.lab

WORKER = "import time\nwhile True:\n    time.sleep(60)\n"
MIGRATE = """\
import os, sys, time
with open(os.environ["HOME"] + "/ran", "a") as file:
    print(os.environ["STEER_RELEASE"], file=file)
print("begins as", os.environ["MOOD"], flush=True)
time.sleep(float(os.environ.get("SECONDS", "0")))
while "GATE" in os.environ and not os.path.exists(os.environ["HOME"] + "/go"):
    time.sleep(0.05)
print("ends", flush=True)
sys.exit(int(os.environ.get("CODE", "0")))
"""
STEER = [sys.executable, "-m", "steersman.cli"]


class Deck:
    """An app with a release command on one host, and the person it belongs to."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        self.folder = folder
        self.host: Host = lab.hosts[0]
        self.env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        self.command: list[str] | str = "python migrate.py"
        lab.write_reach(folder)
        (folder / "src").mkdir()
        (folder / "src/worker.py").write_text(WORKER)
        (folder / "src/migrate.py").write_text(MIGRATE)

    def steer(
        self, *args: str, given: bytes = b"", expect: int | None = 0, **env: str
    ) -> tuple[bytes, bytes]:
        done = subprocess.run(
            [*STEER, *args],
            env={**self.env, **env},
            cwd=self.folder,
            input=given,
            capture_output=True,
            timeout=240,
            check=False,
        )
        if expect is not None:
            assert done.returncode == expect, (done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout, done.stderr

    def manifest(self, timeout: str = "30s", **env: str) -> str:
        spec = {
            "source": {"path": "src"},
            "config": {"env": {"MOOD": "calm", **env}},
            "release": {"command": self.command, "timeout": timeout},
            "processes": {"first": {"command": "python worker.py"}},
        }
        head = {"apiVersion": "steersman/v1", "kind": "App", "metadata": {"name": "deck"}}
        (self.folder / "app.yaml").write_text(yaml.safe_dump({**head, "spec": spec}))
        return "app.yaml"

    def apply(
        self, expect: int | None = 0, failpoint: str = "", timeout: str = "30s", **env: str
    ) -> str:
        file = self.manifest(timeout, **env)
        kill = {"STEER_FAILPOINT": failpoint} if failpoint else {}
        words = ("apply", "-f", "hosts.yaml", "-f", file)
        out, err = self.steer(*words, given=b"", expect=expect, **kill)
        return (out + err).decode()

    def ran(self) -> list[str]:
        return self.host.run(["cat", "/srv/steersman/apps/deck/shared/ran"]).split()

    def serving(self) -> str:
        path = self.host.run(["readlink", "/srv/steersman/apps/deck/current"])
        return path.rpartition("/")[2].partition("-")[0]

    def runs(self, words: str) -> bool:
        return words in self.host.run(["ps", "-eo", "args"])

    def one_offs(self) -> list[str]:
        listed = self.host.run(["systemctl", "list-units", "--all", "--plain", "--no-legend"])
        names = [line.split()[0] for line in listed.splitlines() if line.strip()]
        return [n for n in names if n.startswith(("steersman-deck.run.", "steersman-deck.release"))]


@pytest.fixture(scope="module")
def deck(
    make_lab: Callable[[int], Lab], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deck]:
    lab = make_lab(1)
    made = Deck(tmp_path_factory.mktemp("deck"), lab)
    made.apply()
    yield made
    made.steer("delete", "app/deck", "host/h1")
    assert made.one_offs() == []
    assert not (made.host.root / "srv/steersman").exists()
    lab.down()


def test_run_is_a_terminal_in_a_unit_as_the_app(deck: Deck) -> None:
    watch = "id -un; stty size; trap 'stty size' WINCH; cat /proc/self/cgroup; echo $MOOD up"
    words = ["run", "deck", "--", "sh", "-c", watch + "; while :; do sleep 0.1; done"]
    there = Terminal([*STEER, *words], deck.env, deck.folder, rows=33, cols=101)
    try:
        there.until(rb"app-deck\r\n33 101\r\n")
        there.until(rb"/system.slice/steersman-deck.run.\S+.service\r\ncalm up")
        there.resize(40, 120)
        os.kill(there.process.pid, signal.SIGWINCH)
        there.until(rb"40 120")
        there.type(b"\x03")
        assert there.end() == 130
    finally:
        there.close()
    assert deck.one_offs() == []


def test_run_pipes_bytes_and_exit_codes(deck: Deck) -> None:
    sent = bytes(range(256)) * 4 * 5120
    assert deck.steer("run", "deck", "--", "cat", given=sent) == (sent, b"")
    words = 'echo "$1" ${MOOD}; echo err >&2; exit 7'
    told = deck.steer("run", "deck", "--", "sh", "-c", words, "sh", "$HOME ${PATH} $$ %n", expect=7)
    assert told == (b"$HOME ${PATH} $$ %n calm\n", b"err\n")
    assert deck.steer("run", "deck", "--", "sh", "-c", "kill -TERM $$", expect=143) == (b"", b"")
    _, said = deck.steer("run", "deck", "--", "touch", "/etc/mine", expect=1)
    assert b"Read-only file system" in said, "it may do more than the app"
    assert deck.one_offs() == []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_run_ends_with_steer_whatever_it_started(deck: Deck, end: signal.Signals) -> None:
    # A daemon in a session of its own: only its cgroup tells that it is ours.
    words = "setsid sh -c \"trap '' TERM HUP; sleep 4260; sleep 4260\" & echo up; sleep 4261"
    process = subprocess.Popen(
        [*STEER, "run", "deck", "--", "sh", "-c", words],
        env=deck.env, cwd=deck.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    assert deck.runs("sleep 4260")
    process.send_signal(end)
    process.communicate(timeout=60)
    wait_until(lambda: not deck.runs("sleep 426"), "the end of what steer had started")
    wait_until(lambda: deck.one_offs() == [], "the end of its unit")


def test_a_cut_cable_ends_the_program(deck: Deck) -> None:
    words = [*STEER, "run", "deck", "--", "sh", "-c", "trap '' HUP; echo up; sleep 4262"]
    there = Terminal(words, deck.env, deck.folder)
    try:
        there.until(rb"up\r\n")
        deck.host.unplug()
        assert there.end(within=90) == 1
        assert b"run it again" in there.seen
    finally:
        there.close()
        deck.host.plug()
    wait_until(lambda: not deck.runs("sleep 4262"), "the end of the program")
    wait_until(lambda: deck.one_offs() == [], "the end of its unit")


@pytest.mark.parametrize("when", ["during", "after"])
def test_a_killed_controller_does_not_run_the_command_twice(deck: Deck, when: str) -> None:
    before = deck.ran()
    release = {"TRY": when, **({"GATE": "shut"} if when == "during" else {})}
    deck.apply(expect=-signal.SIGKILL, failpoint=f"{when}:release-command", **release)
    if when == "during":
        assert deck.runs("python migrate.py"), "it ended with its controller"
        deck.host.run(["touch", "/srv/steersman/apps/deck/shared/go"])
    told = deck.apply(expect=0, **release)
    assert "begins as calm" in told and "release command | ends" in told
    number = deck.serving()
    assert deck.ran() == [*before, number]
    shown, _ = deck.steer("rollout", "history", "deck", f"--revision={number}")
    assert b"Release command:\n  begins as calm\n  ends\n" in shown
    assert deck.one_offs() == []


def test_a_command_that_ends_alone_is_known_by_its_unit(deck: Deck) -> None:
    before, serving = deck.ran(), deck.serving()
    bad = {"SECONDS": "1", "CODE": "3"}
    deck.apply(expect=-signal.SIGKILL, failpoint="during:release-command", **bad)
    wait_until(lambda: not deck.runs("python migrate.py"), "the end of the command")
    told = deck.apply(expect=1, **bad)
    assert "its release command exited with 3" in told and "ends" in told
    assert len(deck.ran()) == len(before) + 1 and deck.serving() == serving


def test_a_command_that_hangs_is_killed_with_its_children(deck: Deck) -> None:
    serving = deck.serving()
    words = "trap '' TERM; setsid sleep 4270 & echo hangs; sleep 4271; sleep 4271"
    deck.command = ["sh", "-c", words]
    told = deck.apply(expect=1, timeout="5s")
    deck.command = "python migrate.py"
    assert "did not end within 5 s" in told and "hangs" in told
    assert not deck.runs("sleep 427") and deck.serving() == serving


def test_a_reboot_during_the_command_is_told_and_not_taken_for_success(deck: Deck) -> None:
    before = deck.ran()
    release = {"SECONDS": "60"}
    deck.apply(expect=-signal.SIGKILL, failpoint="during:release-command", **release)
    deck.host.kill()
    deck.host.start()
    deck.host.wait_ready()
    assert "whether it did its work is not known" in deck.apply(expect=1, **release)
    assert len(deck.ran()) == len(before) + 1
