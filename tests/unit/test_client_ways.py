"""The ways to a daemon: through SSH, over connections that break, and what comes back by them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import asyncssh
import pytest

from laws.daemon import Daemon, app, daemon, host
from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.api.objects import dump_object, parse_object
from steersman.client.contexts import Context
from steersman.client.errors import DaemonLost, DaemonUnreachable, NotADaemon
from steersman.client.work import attached
from steersman.control import faults
from steersman.control.outcome import Rejected
from steersman.control.report import Silent
from steersman.store.errors import Conflict
from steersman.transport.errors import HandError, HostBusy


class _Door(asyncssh.SSHServer):
    def unix_connection_requested(self, dest_path: str) -> bool:
        return True


@asynccontextmanager
async def ssh_door(home: Path, state: Path) -> AsyncIterator[int]:
    """Serve SSH for the key in `home`, as the machine of a daemon whose state is at `state`."""
    key, host_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, parents=True)
    key.write_private_key(folder / "id_ed25519")
    (folder / "id_ed25519").chmod(0o600)

    async def serve(process: asyncssh.SSHServerProcess[str]) -> None:
        assert process.command is not None and process.command.startswith("printf %s/")
        process.stdout.write(f"{state}/steersman/steer.sock")
        process.exit(0)

    allowed = asyncssh.import_authorized_keys(key.export_public_key().decode())
    listener = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=_Door,
        server_host_keys=[host_key],
        authorized_client_keys=allowed,
        process_factory=serve,
    )
    port = listener.get_port()
    public = host_key.export_public_key().decode()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    async with listener:
        yield port


async def test_a_daemon_is_reached_through_ssh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    async with (
        daemon(tmp_path / "steersman") as served,
        ssh_door(tmp_path / "home", tmp_path) as port,
    ):
        await served.parts.store.put(dump_object(parse_object(app())))
        own = f"ssh://root@127.0.0.1:{port}"
        for server in (own, f"{own}{served.socket}"):
            async with attached(Context("ops", server), Silent()) as there:
                assert [each.name for each in await there.store.list("App")] == ["shop"]
        async with attached(Context("ops", f"{own}/no/such.sock"), Silent()) as there:
            with pytest.raises((DaemonLost, DaemonUnreachable)):
                await there.store.get("App", "shop")


class Cable:
    """A Unix socket before another, whose connections can be cut."""

    def __init__(self, path: Path, to: Path) -> None:
        self._path, self._to = path, to
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._carry, str(self._path))
        async with server:
            yield
            self.cut()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_unix_connection(str(self._to))
        self._writers += [writer, outer]
        await asyncio.gather(self._pass(reader, outer), self._pass(inner, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return  # cut
        finally:
            writer.close()

    def cut(self) -> None:
        for each in self._writers:
            each.transport.abort()
        self._writers.clear()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(tmp_path / "s") as one:
        yield one


async def test_a_watch_goes_on_over_cut_connections_and_loses_nothing(
    served: Daemon, tmp_path: Path
) -> None:
    cable, path = Cable(tmp_path / "c", served.socket), tmp_path / "c"
    wanted = [f"h{number}" for number in range(40)]
    async with cable.laid(), attached(Context("x", f"unix://{path}"), Silent()) as there:
        seen: list[str] = []
        async with aclosing(there.store.watch(await there.store.revision())) as changes:
            writing = asyncio.create_task(_write(served, wanted, cable))
            async for change in changes:
                seen += [change.name] if change.kind == "Host" else []
                if len(seen) == len(wanted):
                    break
            await writing
    assert seen == wanted


async def _write(served: Daemon, names: list[str], cable: Cable) -> None:
    for number, name in enumerate(names):
        await served.parts.store.put(dump_object(parse_object(host(name))))
        if number % 9 == 5:
            cable.cut()


async def test_who_answers_something_else_is_no_daemon(tmp_path: Path) -> None:
    path = tmp_path / "other"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    async with (
        await asyncio.start_unix_server(answer, str(path)),
        attached(Context("x", f"unix://{path}"), Silent()) as there,
    ):
        with pytest.raises(NotADaemon, match="another version"):
            await there.store.get("App", "shop")
    async with attached(Context("x", f"unix://{path}"), Silent()) as there:
        with pytest.raises(DaemonUnreachable, match="--context local"):
            await there.controller.steering.pause("shop")


@pytest.mark.parametrize(
    "error",
    [
        SteersmanError("plain"),
        HostUnreachable("h1", "no route"),
        HandError("h1", "missing-program", "nope is not in PATH"),
        HostBusy("h1", "busy", "somebody has it"),
        Conflict("App", "shop", 3, 4),
    ],
)
def test_errors_come_back_as_they_were(error: SteersmanError) -> None:
    told = json.loads(json.dumps(faults.encode_error(error)))
    back = faults.decode_error(told)
    assert (type(back), str(back), back.retryable) == (type(error), str(error), error.retryable)
    for name in ("kind", "message", "host", "expected", "found"):
        assert getattr(back, name, None) == getattr(error, name, None)


def test_errors_of_another_version_keep_their_text() -> None:
    told = {"type": "NotKnownHere", "message": "so it is; do this", "retryable": True}
    back = faults.decode_error(told)
    assert isinstance(back, faults.RemoteFault)
    assert (str(back), back.retryable) == ("so it is; do this", True)
    rejected = faults.decode_error({"type": "Rejected", "message": "x", "retryable": False})
    assert isinstance(rejected, Rejected)
    with pytest.raises(ExceptionGroup) as group:
        faults.raise_all([told, told])
    assert len(group.value.exceptions) == 2


async def test_a_stream_that_breaks_off_says_that_work_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "half"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        line = b'{"alive":true}\n'
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + f"{len(line):x}\r\n".encode() + line + b"\r\n")
        await writer.drain()
        writer.close()

    async with (
        await asyncio.start_unix_server(answer, str(path)),
        attached(Context("x", f"unix://{path}"), Silent()) as there,
    ):
        with pytest.raises(DaemonLost, match="goes on there"):
            await there.controller.steering.restart("shop")


def test_a_context_shows_no_token() -> None:
    context = Context("prod", "https://x", token="steer_s3cret")
    assert "s3cret" not in repr(context)
