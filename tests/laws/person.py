"""Somebody with a `steer` and an embedded host behind a cable that can be cut."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from steersman.api.host import Host
from steersman.api.objects import dump_object
from steersman.embedded.host import embedded_host
from transport_lab import Cutter

APP = {
    "apiVersion": "steersman/v1",
    "kind": "App",
    "metadata": {"name": "crew"},
    "spec": {
        "source": {"path": "src"},
        "config": {"env": {"MOOD": "calm"}},
        "processes": {
            "first": {"command": "python worker.py"},
            "second": {"command": "python worker.py", "count": 0, "env": {"MOOD": "wild"}},
        },
    },
}
# Where SERVING is the link that says whose the traffic is, it ends a moment after it has some.
WORKER = """\
import os, time
link, mine = os.environ.get("SERVING"), os.environ["STEER_RELEASE"]
while not link or os.path.basename(os.readlink(link)).partition("-")[0] != mine:
    time.sleep(0.1 if link else 9999)
time.sleep(1)
"""
STEER = [sys.executable, "-m", "steersman.cli"]


class Person:
    """Somebody with a state, a folder of manifests and a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder
        kept = {key: value for key, value in os.environ.items() if not key.startswith("STEER_")}
        self.cut: Callable[[], object] = lambda: None
        self.env = {**kept, "XDG_STATE_HOME": str(folder / "state")}

    def connect(self, host: Host, cable: Cutter) -> None:
        """Write manifests of the host, which is reached by `cable`, and of the app."""
        self.root = Path(host.spec.root)
        found = dump_object(host)
        del found["status"]
        found["spec"]["port"] = cable.port
        (self.folder / "all.yaml").write_text(yaml.safe_dump_all([found, APP]))
        loop = asyncio.get_running_loop()
        self.cut = lambda: loop.call_soon_threadsafe(cable.cut)

    def start(
        self,
        *args: str,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*STEER, *args],
            cwd=self.folder,
            env=self.env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )

    def ended(
        self, *args: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Return how `steer ARGS` ended."""
        return subprocess.run(
            [*STEER, *args],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def steer(self, *args: str, given: bytes = b"", expect: int = 0) -> tuple[bytes, bytes]:
        """Return what `steer ARGS` wrote to its output and to its errors."""
        pipe = subprocess.PIPE
        process = self.start(*args, stdin=pipe, stdout=pipe, stderr=pipe)
        out, err = process.communicate(given, timeout=120)
        assert process.returncode == expect, (out[-2000:], err[-2000:])
        return out, err


@contextmanager
def at_home(folder: Path) -> Iterator[Person]:
    """Run a host with an app of two processes, and somebody who deployed it."""
    made = Person(folder)
    (made.folder / "src").mkdir()
    (made.folder / "src/worker.py").write_text(WORKER)
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        # Not in tmp_path: a socket's path has room for 107 bytes.
        with tempfile.TemporaryDirectory(prefix="steer-") as folder:
            async with embedded_host(Path(folder, "h")) as host:
                cable = Cutter(host.host.spec.port or 0)
                async with cable.running():
                    made.connect(host.host, cable)
                    ready.set()
                    await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(60)
    try:
        made.steer("apply", "-f", "all.yaml")
        yield made
    finally:
        done.set()
        thread.join()


def lasting(seconds: int) -> str:
    """Return a command that lasts so long, in words that no other process of tests has."""
    return f"sleep {seconds}.{os.getpid():07}"


def running(words: str) -> list[int]:
    """Return the pids of programs, but steer itself, with these words among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words in line and "steersman.cli" not in line:
            found.append(int(path.parent.name))
    return found


def until_running(words: str) -> None:
    deadline = time.monotonic() + 30
    while not running(words):
        assert time.monotonic() < deadline, f"{words} does not run"
        time.sleep(0.05)


def until_gone(words: str, within: float = 30) -> None:
    deadline = time.monotonic() + within
    while running(words):
        assert time.monotonic() < deadline, f"{words} still runs"
        time.sleep(0.05)
