"""`steer serve` as a process of its own, and the ways in which it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acceptance.steer import Steer

READY_WITHIN = 60.0


class Daemon:
    """A running daemon; it is ready when this is made."""

    def __init__(self, steer: Steer, *args: str, **env: str) -> None:
        self.folder = steer.folder
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        door = self.folder / f"notify-{os.urandom(4).hex()}"
        self._notified.bind(str(door))
        self._notified.settimeout(READY_WITHIN)
        self.log_path = self.folder / "serve.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "steersman.cli", "serve", *args],
                cwd=self.folder,
                env={**steer.env, **env, "NOTIFY_SOCKET": str(door)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_for("READY=1")
        except TimeoutError:
            self.kill()
            raise AssertionError(f"the daemon is not ready:\n{self.said()}") from None

    def _wait_for(self, state: str) -> None:
        while self._notified.recv(4096).decode() != state:
            pass

    def said(self) -> str:
        return self.log_path.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log's records of one name, oldest first."""
        # The last line may be half written.
        whole = self.said().split("\n")[:-1]
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def cpu_seconds(self) -> float:
        """Return how much of a core it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """Ask it to stop, as systemd does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self._notified.close()
        return code

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._notified.close()


@contextmanager
def serving(steer: Steer, *args: str, **env: str) -> Iterator[Daemon]:
    """Run a daemon while the body does; whatever it crashed on fails the test."""
    daemon = Daemon(steer, *args, **env)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.stop()
    crashed = [line for line in daemon.said().splitlines() if "_crashed" in line]
    assert not crashed, "\n".join(crashed)
