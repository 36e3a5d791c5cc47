"""The embedded host's SSH server: one key, one kind of command, and nobody left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from steersman.api.errors import SteersmanError
from steersman.embedded.host import CannotEmbed, embedded_host
from steersman.transport import ssh
from steersman.transport.embedded_server import open_door
from steersman.transport.errors import HostKeyChanged, LoginRefused
from steersman.transport.target import Target
from transport_lab import make_key

COPY = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"


class Heard:
    """A Receiver that remembers."""

    def __init__(self) -> None:
        self.out = b""
        self.err = b""
        self.status: int | None = None
        self.is_over = asyncio.Event()
        self.spoke = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.out += data
        self.spoke.set()

    def stderr_received(self, data: bytes) -> None:
        self.err += data

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def ended(self, status: int | None, error: SteersmanError | None) -> None:
        self.status = status
        self.is_over.set()


@pytest_asyncio.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    async with open_door(tmp_path, {"PATH": "/usr/bin:/bin", "ONLY": "this"}) as door:
        yield Target(
            name="here",
            address="127.0.0.1",
            port=door.port,
            user="anybody",
            identity=door.identity,
            host_keys=(door.host_key,),
        )


async def heard(target: Target, command: str, sent: bytes = b"") -> Heard:
    connection = await ssh.connect(target)
    receiver = Heard()
    try:
        channel = await connection.start(command, receiver)
        with contextlib.suppress(BrokenPipeError):  # a refusal may come first
            channel.write(sent)
            channel.write_eof()
        await receiver.is_over.wait()
    finally:
        await connection.close()
    return receiver


async def test_bytes_pass_unchanged_and_the_exit_status_comes_after_them(target: Target) -> None:
    sent = bytes(range(256)) * 5000
    told = await heard(target, f"exec python3 -c '{COPY}; sys.exit(7)'", sent)
    assert told.out == sent
    assert told.status == 7


async def test_only_the_given_environment_is_there(target: Target) -> None:
    told = await heard(target, "exec env")
    assert set(told.out.decode().split()) >= {"ONLY=this"}
    assert b"HOME=" not in told.out


@pytest.mark.parametrize("command", ["id", "exec", "exec; id", "sh -c id"])
async def test_what_is_no_exec_is_refused(target: Target, command: str) -> None:
    told = await heard(target, command)
    assert (told.out, told.status) == (b"", 126)


async def test_a_shell_never_sees_the_words(target: Target) -> None:
    told = await heard(target, "exec echo $HOME `id` ; id")
    assert told.out == b"$HOME `id` ; id\n"


async def test_another_key_is_refused(target: Target, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    with pytest.raises(LoginRefused):
        await ssh.connect(replace(target, identity=tmp_path / "other"))


async def test_another_host_key_is_refused(target: Target, tmp_path: Path) -> None:
    with pytest.raises(HostKeyChanged):
        await ssh.connect(replace(target, host_keys=(make_key(tmp_path / "host"),)))


async def test_a_command_ends_with_its_channel(target: Target) -> None:
    connection = await ssh.connect(target)
    receiver = Heard()
    await connection.start(
        f"exec python3 -c 'import os; print(os.getpid(), flush=True); {COPY}'", receiver
    )
    await receiver.spoke.wait()
    ended, pidfd = asyncio.Event(), os.pidfd_open(int(receiver.out))
    asyncio.get_running_loop().add_reader(pidfd, ended.set)
    assert not ended.is_set()
    connection.abort()
    async with asyncio.timeout(60):
        await ended.wait()
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)
    await connection.close()


async def test_a_folder_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotEmbed, match="too long a path"):
        async with embedded_host(tmp_path / ("x" * 60)):
            raise AssertionError("it started")
