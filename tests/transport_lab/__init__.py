"""Real parts for transport tests: an own sshd, keys, a TCP proxy that cuts, a fake hand."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import getpass
import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from steersman.transport.bundle import Bundle, make_bundle
from steersman.transport.target import Target

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# Between the ports that apps are given and those that the system hands out: nobody else's.
_PORTS = range(30_000, 32_768)
_AT_A_TIME = 64
_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_ed25519
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 200
MaxSessions 100
SetEnv PATH={path} SHLVL=1 {more}
"""


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> str:
    """Make a key pair at `path` and return its public line without the comment."""
    words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path)]
    subprocess.run(words, check=True)
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


def free_port() -> int:
    """Return a port that stays free until it is used: one of those that this process has claimed.

    One that the system hands out is anybody's again, as soon as it was seen to be free.
    """
    return next(port for port in _claimed() if _is_free(port))


@functools.cache
def _claimed() -> Iterator[int]:
    """Claim ports of our own, by holding the first of them for as long as this process lives."""
    for first in _PORTS[::_AT_A_TIME]:
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", first)).detach()
            return itertools.cycle(range(first + 1, first + _AT_A_TIME))
    raise RuntimeError(f"all ports from {_PORTS[0]} to {_PORTS[-1]} are claimed")


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def fake_bundle(**modules: bytes) -> Bundle:
    """Return the fake hand's bundle, with some of its modules replaced."""
    folder = Path(__file__).with_name("fake_hand")
    sources = {file.stem: file.read_bytes() for file in folder.glob("*.py")}
    return make_bundle({**sources, **modules})


@dataclass(frozen=True)
class Server:
    """A running sshd, and how to reach it with a key that it takes."""

    folder: Path
    port: int
    host_key: str
    identity: Path

    def target(self, **changes: Any) -> Target:
        pinned = Target(
            name="h1",
            address="127.0.0.1",
            port=self.port,
            user=getpass.getuser(),
            identity=self.identity,
            host_keys=(self.host_key,),
        )
        return replace(pinned, **changes)


@contextlib.contextmanager
def run_sshd(folder: Path, path: Path | None = None, **env: str) -> Iterator[Server]:
    """Run an own sshd on a free loopback port; commands see only the programs in `path`.

    What is in `env` is in the environment of whoever logs in. SHLVL keeps bash from reading the
    .bashrc of whoever runs the tests.
    """
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    host_key = make_key(folder / "host_ed25519")
    (folder / "authorized_keys").write_text(make_key(folder / "identity") + "\n")
    port = free_port()
    config = folder / "sshd_config"
    programs = path if path is not None else Path("/usr/bin")
    more = " ".join(f"{key}={value}" for key, value in env.items())
    config.write_text(_CONFIG.format(port=port, folder=folder, path=programs, more=more))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(config)], stderr=log)
    try:
        _wait_for(port, process)
        yield Server(folder, port, host_key, folder / "identity")
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
    raise RuntimeError(f"sshd ended with {process.returncode}")


class Cutter:
    """A TCP relay that cuts or stalls both ways after so many bytes of either direction."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.passed = {"up": 0, "down": 0}
        self.limits: dict[str, int] = {}
        self.stalls = False
        self._upstream = port
        self._writers: list[asyncio.StreamWriter] = []
        self._stalled = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Cutter]:
        tasks: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            self._writers += [writer, up_writer]
            tasks.add(asyncio.create_task(self._relay("up", reader, up_writer)))
            tasks.add(asyncio.create_task(self._relay("down", up_reader, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

    async def _relay(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                left = self.limits.get(way, 1 << 60) - self.passed[way]
                if self.stalls:
                    await self._stalled.wait()
                writer.write(data[:left])
                self.passed[way] += len(data[:left])
                if len(data) >= left:
                    await writer.drain()
                    break
        self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.close()
