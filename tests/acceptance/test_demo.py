"""steer demo as a person runs it: on a terminal and in a pipe, ended by Ctrl-C or by a signal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)

STEER = [str(Path(sys.executable).with_name("steer")), "demo"]
PARTS = ("Deploy", "Again", "Push", "Kill", "Undo")


def left_of(folder: str) -> list[str]:
    """Return the folder and the processes that still tell of a demo."""
    found = [folder] if Path(folder).exists() else []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if folder.encode() in words:
            found.append(str(words))
    return found


class Terminal:
    """A demo on a terminal of its own."""

    def __init__(self) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(STEER[0], STEER, {**os.environ, "TERM": "xterm"})
        self.text = ""

    def read_until(self, pattern: str) -> re.Match[str]:
        while (found := re.search(pattern, self.text)) is None:
            self.text += os.read(self._fd, 65536).decode(errors="replace")
        return found

    def press_ctrl_c(self) -> None:
        os.write(self._fd, b"\x03")

    def wait(self) -> int:
        try:
            while chunk := os.read(self._fd, 65536):
                self.text += chunk.decode(errors="replace")
        except OSError:
            pass  # the terminal's other end is closed
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    try:
        os.kill(made.pid, signal.SIGKILL)
        os.waitpid(made.pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def test_it_shows_everything_stays_up_and_leaves_nothing(terminal: Terminal) -> None:
    url = terminal.read_until(r"measured from outside, at (http://localhost:\d+)")[1]
    folder = terminal.read_until(r"(/\S+/steer-demo-\w+)")[1]
    for part in PARTS:
        assert re.search(rf"\d\. {part} +ok", terminal.text), terminal.text
    with urllib.request.urlopen(url, timeout=10) as page:
        assert b"<h1>Hello</h1>" in page.read()
    assert left_of(folder) != []
    terminal.press_ctrl_c()
    assert terminal.wait() == 0
    assert left_of(folder) == []


def test_in_a_pipe_it_says_less_than_a_page_and_ends() -> None:
    done = subprocess.run(STEER, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert not re.search(r"[1-9]\d* lost", done.stdout)
    assert "\x1b" not in done.stdout


def test_a_signal_in_its_midst_leaves_nothing() -> None:
    with subprocess.Popen(STEER, stdout=subprocess.PIPE, text=True) as demo:
        heading = demo.stdout.readline() if demo.stdout is not None else ""
        folder = heading.rpartition(" ")[2].strip()
        assert left_of(folder) != []
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(timeout=60) != 0
    assert left_of(folder) == []
