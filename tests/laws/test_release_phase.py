"""The release command on the embedded host: run once, whatever happens to the controller."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import yaml

from laws.person import Person, at_home, lasting, running, until_gone

pytestmark = pytest.mark.slow

# Tells when it begins and ends in a file that outlives releases, and writes.
COMMAND = """\
import os, sys, time
home = os.environ["HOME"]
def tell(what):
    with open(home + "/ran", "a") as file:
        print(what + os.environ["STEER_RELEASE"], file=file)
tell("+")
print("begins", flush=True)
for _ in range(int(os.environ.get("TENTHS", "0"))):
    time.sleep(0.1)
tell("-")
sys.stdout.write("mood " + os.environ["MOOD"])
sys.exit(int(os.environ.get("CODE", "0")))
"""


NUMBERS = count(1)


class Deck:
    """An app with a release command, and a way to make each apply another release."""

    def __init__(self, person: Person, name: str) -> None:
        self.person, self.name = person, name
        self.soak = 0
        self.release: dict[str, object] = {"command": "python migrate.py", "timeout": "30s"}
        (person.folder / "src/migrate.py").write_text(COMMAND)

    def write(self, **env: str) -> Path:
        spec = {
            "source": {"path": "src"},
            "config": {"env": {"MOOD": "calm", **env}},
            "release": self.release,
            "processes": {"web": {"command": "python worker.py"}},
            "rollout": {"minReadySeconds": self.soak},
        }
        path = self.person.folder / f"{self.name}.yaml"
        head = {"apiVersion": "steersman/v1", "kind": "App", "metadata": {"name": self.name}}
        path.write_text(yaml.safe_dump({**head, "spec": spec}))
        return path

    def apply(self, expect: int = 0, failpoint: str = "", **env: str) -> str:
        path = self.write(**env)
        given = {"STEER_FAILPOINT": failpoint} if failpoint else {}
        done = self.person.ended("apply", "-f", str(path), env=given)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def diary(self) -> list[str]:
        """+N for each beginning of the command of release N, -N for each end."""
        path = self.person.root / f"apps/{self.name}/shared/ran"
        return path.read_text().split() if path.exists() else []

    @property
    def ran(self) -> list[str]:
        """The numbers of the releases whose command began, one for each time."""
        return [line[1:] for line in self.diary if line.startswith("+")]

    @property
    def serving_link(self) -> Path:
        return self.person.root.parent / f"run/{self.name}/serving"

    def taking_traffic(self) -> str:
        return self.serving_link.readlink().name.partition("-")[0]

    def serving(self) -> str:
        return (self.person.root / f"apps/{self.name}/current").readlink().name.partition("-")[0]

    def history(self, number: int) -> str:
        return self.person.ended("rollout", "history", self.name, f"--revision={number}").stdout


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with at_home(tmp_path_factory.mktemp("person")) as made:
        yield made


@pytest.fixture
def deck(person: Person) -> Deck:
    return Deck(person, f"deck-{next(NUMBERS)}")


def test_it_runs_once_before_the_release_and_its_output_is_kept(deck: Deck) -> None:
    told = deck.apply()
    assert "begins" in told and "mood calm" in told
    assert deck.ran == ["1"]
    deck.apply()
    assert deck.ran == ["1"]
    assert "Release command:\n  begins\n  mood calm\n" in deck.history(1)


def test_a_failure_is_told_and_switches_nothing(deck: Deck) -> None:
    deck.apply()
    told = deck.apply(expect=1, MOOD="rough", CODE="7")
    assert "its release command exited with 7" in told and "mood rough" in told
    assert "release 1 serves as before" in told
    assert (deck.ran, deck.serving()) == (["1", "2"], "1")
    deck.apply(expect=1, MOOD="rough", CODE="7")
    assert deck.ran == ["1", "2"], "a rejected release was tried again"
    assert "begins\n  mood rough" in deck.history(2)


@pytest.mark.parametrize("when", ["during", "after"])
def test_a_killed_controller_does_not_make_it_run_twice(deck: Deck, when: str) -> None:
    deck.apply(expect=-signal.SIGKILL, failpoint=f"{when}:release-command", TENTHS="15")
    told = deck.apply(TENTHS="15")
    assert "begins" in told and "mood calm" in told, "its output was lost"
    assert (deck.ran, deck.serving()) == (["1"], "1")


def test_it_ends_while_nobody_is_there(deck: Deck) -> None:
    deck.apply()
    deck.apply(expect=-signal.SIGKILL, failpoint="during:release-command", TENTHS="5", CODE="3")
    folder = next((deck.person.root / f"apps/{deck.name}/releases").glob("2-*"))
    deadline = time.monotonic() + 60
    while '"exit": 3' not in (folder / "phase.json").read_text():
        assert time.monotonic() < deadline, "its end was not recorded"
        time.sleep(0.05)
    assert "its release command exited with 3" in deck.apply(expect=1, TENTHS="5", CODE="3")
    assert (deck.ran, deck.serving()) == (["1", "2"], "1")


def test_it_is_killed_at_its_timeout_with_what_it_started(deck: Deck) -> None:
    left, long = lasting(4250), lasting(4251)
    words = f"trap '' TERM; {left} & echo hangs; {long}; {long}"
    deck.release = {"command": ["sh", "-c", words], "timeout": "5s"}
    told = deck.apply(expect=1)
    assert "did not end within 5 s" in told and "hangs" in told
    until_gone(left)
    until_gone(long)


def test_a_command_that_is_not_there_is_the_releases_fault(deck: Deck) -> None:
    deck.release = {"command": "no-such-program"}
    assert "no-such-program is not in the release's PATH" in deck.apply(expect=1)
    assert "rejected" in deck.history(1)


def test_one_that_was_lost_is_not_run_again(deck: Deck) -> None:
    deck.apply()
    deck.apply(expect=-signal.SIGKILL, failpoint="during:release-command", TENTHS="300")
    for pid in [*running("Runs a release's command"), *running("migrate.py")]:
        os.kill(pid, signal.SIGKILL)
    told = deck.apply(expect=1, TENTHS="300")
    assert "whether it did its work is not known" in told
    assert (deck.ran, deck.serving()) == (["1", "2"], "1")


def test_one_that_was_lost_is_begun_again_if_it_may_be(deck: Deck) -> None:
    deck.release["idempotent"] = True
    deck.apply()
    deck.apply(expect=-signal.SIGKILL, failpoint="during:release-command", TENTHS="20")
    for pid in [*running("Runs a release's command"), *running("migrate.py")]:
        os.kill(pid, signal.SIGKILL)
    told = deck.apply(TENTHS="20")
    assert "begins" in told and "mood calm" in told
    assert (deck.diary, deck.serving()) == (["+1", "-1", "+2", "+2", "-2"], "2")


def test_the_next_release_waits_for_the_command_of_the_last(deck: Deck) -> None:
    deck.apply(expect=-signal.SIGKILL, failpoint="during:release-command", TENTHS="20")
    deck.apply()
    assert (deck.diary, deck.serving()) == (["+1", "-1", "+2", "-2"], "2")


def test_nobody_goes_back_past_a_contract_unless_forced(deck: Deck) -> None:
    deck.apply()
    deck.release["contract"] = True
    deck.write(MOOD="rough")
    (deck.person.folder / "src/news.txt").write_text("a column less")
    deck.apply(MOOD="rough")
    refused = deck.person.ended("rollout", "undo", deck.name)
    assert refused.returncode == 1
    assert "release 1 does not work any more" in refused.stderr and "--force" in refused.stderr
    assert deck.serving() == "2"
    deck.person.steer("rollout", "undo", deck.name, "--force")
    assert (deck.ran, deck.serving()) == (["1", "2"], "3")


@pytest.mark.parametrize(("is_contract", "after"), [(False, "1"), (True, "2")])
def test_a_host_that_switched_stays_past_a_contract(
    deck: Deck, is_contract: bool, after: str
) -> None:
    deck.soak = 6
    deck.apply()
    (deck.person.folder / "src/news.txt").write_text(f"{is_contract}")
    deck.release["contract"] = is_contract
    link = str(deck.serving_link)
    told = deck.apply(expect=1, SERVING=link)  # it passes its gate, and ends in its soak
    assert ("stays as it is: release 1 does not work" in told) is is_contract
    assert deck.taking_traffic() == after, told
    told = deck.apply(expect=1, SERVING=link)
    assert "is not tried again" in told and deck.taking_traffic() == after
    deck.apply(MOOD="mended")
    assert (deck.serving(), deck.taking_traffic()) == ("3", "3")
