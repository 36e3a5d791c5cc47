"""What hosts say of their apps reaches the daemon: each line once, and how processes end."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from acceptance.daemon import Daemon, serving
from acceptance.pier import GOOD, Pier
from acceptance.steer import Repo, app
from lab import seen
from lab.lab import Lab

pytestmark = pytest.mark.lab

WITHIN = 90.0
# Numbers lines, and ends in the way that the query names.
# So few of them that what waits behind a long cut fits into the queue of a listener that is late.
TALKING = GOOD.replace(
    "def app(environ",
    """import itertools, signal, threading, time
NUMBERS = itertools.count()


def _talk():
    while True:
        print(f"line {os.getpid()} {next(NUMBERS)}", flush=True)
        time.sleep(0.04)


threading.Thread(target=_talk, daemon=True).start()


def app(environ""",
)


class Hearer:
    """Somebody who follows the daemon's signals by `curl`, and remembers them."""

    def __init__(self, daemon: Daemon) -> None:
        self.signals: list[dict[str, Any]] = []
        socket = daemon.folder / "state/steersman/steer.sock"
        url = "http://localhost/apis/steersman/v1/signals?kind=logs&kind=exits&kind=metrics"
        self._child = subprocess.Popen(
            ["curl", "-sSN", "--unix-socket", str(socket), url], stdout=subprocess.PIPE
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if line.endswith(b"\n"):  # the last one may be cut off, with the daemon or with curl
                self.signals.append(json.loads(line))

    def end(self) -> None:
        """Hear the rest, where the daemon has ended the stream."""
        try:
            self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._child.terminate()
        self._reader.join()
        self._child.communicate()

    def numbers(self, host: str) -> dict[str, list[int]]:
        """Return the numbers of the lines that came, by the process that wrote them."""
        found: dict[str, list[int]] = {}
        for told in list(self.signals):
            line = told.get("logs", {"text": "", "origin": {"host": ""}})
            words = line["text"].split()
            if words[:1] == ["line"] and line["origin"]["host"] == host:
                found.setdefault(words[1], []).append(int(words[2]))
        return found


@contextmanager
def hearing(daemon: Daemon) -> Iterator[Hearer]:
    hearer = Hearer(daemon)
    try:
        yield hearer
    finally:
        hearer.end()
    assert not [told for told in hearer.signals if "dropped" in told]


@contextmanager
def following(pier: Pier, host: str) -> Iterator[list[str]]:
    """Have `steer logs -f` run beside the body; yield the lines that it prints."""
    child = pier.steer.started("logs", "app/pier", "-f", "--tail=0", f"--host={host}")
    lines: list[str] = []
    assert child.stdout is not None
    reader = threading.Thread(target=lines.extend, args=(child.stdout,), daemon=True)
    reader.start()
    try:
        yield lines
    finally:
        child.send_signal(signal.SIGINT)
        reader.join()
        child.communicate()


def numbers_in(lines: list[str]) -> dict[str, list[int]]:
    """Return the numbers of printed lines, by the process that wrote them."""
    found: dict[str, list[int]] = {}
    for line in list(lines):
        words = line.partition(" | ")[2].split()
        if words[:1] == ["line"] and len(words) == 3:
            found.setdefault(words[1], []).append(int(words[2]))
    return found


def until(what: Callable[[], Any], why: Callable[[], object] = lambda: "not in time") -> Any:
    deadline = time.monotonic() + WITHIN
    while not (found := what()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def talking(pier: Pier) -> Iterator[Pier]:
    with serving(pier.steer):
        pier.release(code=TALKING)
    yield pier


def test_each_line_comes_once_through_a_cut_link(talking: Pier, hosts: Lab) -> None:
    with (
        serving(talking.steer) as daemon,
        hearing(daemon) as hearer,
        following(talking, "h1") as followed,
    ):

        def count() -> int:
            return sum(map(len, hearer.numbers("h1").values()))

        until(lambda: count() > 50, daemon.said)
        hosts.cut_cable(0)
        until(lambda: daemon.events("host_lost"), daemon.said)
        enough = count() + 100
        hosts.mend_cable(0)
        until(lambda: count() > enough, daemon.said)
        newest = {pid: numbers[-1] for pid, numbers in hearer.numbers("h1").items()}
        until(lambda: reaches(numbers_in(followed), newest), daemon.said)
    for found in (hearer.numbers("h1"), numbers_in(followed)):
        assert len(found) == len(newest)
        for numbers in found.values():
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def reaches(found: dict[str, list[int]], newest: dict[str, int]) -> bool:
    return all(found.get(pid, [0])[-1] >= number for pid, number in newest.items())


@pytest.mark.parametrize("end", [Daemon.stop, Daemon.kill])
def test_the_next_daemon_repeats_nothing(talking: Pier, end: Callable[[Daemon], object]) -> None:
    heard: dict[str, list[int]] = {}
    for _ in range(2):
        with serving(talking.steer) as daemon, hearing(daemon) as hearer:
            until(lambda: len(hearer.numbers("h1")) > 0, daemon.said)
            end(daemon)
        for pid, numbers in hearer.numbers("h1").items():
            heard.setdefault(pid, []).extend(numbers)
    for numbers in heard.values():
        assert numbers == sorted(set(numbers))


WRECK = """import os, signal

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
print("afloat", flush=True)
signal.sigwait([signal.SIGHUP])
os._exit(3)
"""


def test_an_app_that_comes_is_heard_from_its_first_line_to_its_exit(
    talking: Pier, hosts: Lab, tmp_path: Path
) -> None:
    repo = Repo(tmp_path / "wreck", {"wreck.py": WRECK, "requirements.txt": ""})
    worker = {"command": "python wreck.py"}
    placed = {"hosts": ["h3"]}
    wreck = app("wreck", repo, processes={"worker": worker}, routes=[], placement=placed)

    def heard(kind: str) -> list[dict[str, Any]]:
        told = [each[kind] for each in list(hearer.signals) if kind in each]
        return [each for each in told if each["origin"]["app"] == "wreck"]

    with serving(talking.steer) as daemon, hearing(daemon) as hearer:
        talking.steer.apply(wreck)
        until(lambda: heard("logs"), daemon.said)
        unit = "steersman-wreck.worker.g1@1.service"
        hosts.hosts[2].run(["systemctl", "kill", "--kill-whom=main", "-s", "HUP", unit])
        (exited,) = until(lambda: heard("exits"), daemon.said)
        until(lambda: len(heard("logs")) == 2, daemon.said)
    assert (exited["code"], exited["signal"], exited["is_oom"]) == (3, "", False)
    assert [each["text"] for each in heard("logs")] == ["afloat", "afloat"]


ENDS = {
    "SEGV": {"code": None, "signal": "SIGSEGV"},
    "KILL": {"code": None, "signal": "SIGKILL"},
}


@pytest.mark.parametrize("how", ENDS)
def test_a_process_that_ends_by_itself_is_told(talking: Pier, hosts: Lab, how: str) -> None:
    host = hosts.hosts[1]
    unit = next(u for u in seen.units(host) if u.startswith("steersman-pier.web.g") and "@1" in u)

    def ends() -> list[dict[str, Any]]:
        return [told["exits"] for told in list(hearer.signals) if "exits" in told]

    with serving(talking.steer) as daemon, hearing(daemon) as hearer:
        until(lambda: hearer.numbers("h2"), daemon.said)
        host.run(["systemctl", "kill", "--kill-whom=main", "-s", how, unit])
        told = until(ends, daemon.said)[0]
        assert {key: told[key] for key in ENDS[how]} == ENDS[how]
        assert told["origin"] | {"commit": ""} == {
            "host": "h2",
            "app": "pier",
            "process": "web",
            "instance": "1",
            "release": talking.version,
            "commit": "",
        }
        talking.release(code=TALKING)
        assert len(ends()) == 1, "what a deploy stops has not ended by itself"
