"""An SSH server for git alone: it names who logged in, and hands each command on as text.

There is no shell, no terminal, no forwarding, no subsystem, and no variable of a client's counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import asyncssh
import structlog

from steersman.api.errors import SteersmanError
from steersman.api.refusal import Refused, quoted

LOGIN_SECONDS = 15.0
MOST_CONNECTIONS = 64
CHUNK = 1 << 16
# A client that takes nothing for so long is as good as gone.
TAKING_SECONDS = 60.0
NO_SHELL = 128
FAILED = 255

_KEY = re.compile(
    r"(?:(?P<options>(?:[^\s\"]|\"[^\"]*\")+) )?(?P<key>(?:ssh|ecdsa|sk)-[^\s]+ \S.*)"
)
_OPTION = re.compile(r"([A-Za-z0-9-]+)(?:=\"[^\"]*\")?(?:,|$)")
# The others permit what nobody gets here, or are not looked at by asyncssh.
_OPTIONS = frozenset(
    {"from", "restrict", "no-pty", "no-port-forwarding", "no-agent-forwarding"}
    | {"no-x11-forwarding", "no-user-rc"}
)
_WEAK = frozenset({"ssh-dss"})
_INTERRUPTIONS = (asyncssh.BreakReceived, asyncssh.SignalReceived, asyncssh.TerminalSizeChanged)
_LOST = (OSError, asyncssh.Error, *_INTERRUPTIONS)

log = structlog.get_logger(__name__)


class CannotListen(SteersmanError):
    """The port is taken, or not ours to take."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for what: `key` is the name of the key, `command` what the client sent."""

    key: str
    command: str
    address: str


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the server is, and which key it shows, as `ssh-keygen -l` prints it."""

    port: int
    fingerprint: str
    public_key: str


class Channel(Protocol):
    """The bytes between a client and a command; a client that left gives and takes nothing."""

    async def read(self) -> bytes:
        """Return what came, b"" once nothing will come any more."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when there is room for more."""
        ...

    async def complain(self, text: str) -> None:
        """Say something beside the bytes."""
        ...


Serve = Callable[[Request, Channel], Awaitable[int]]
"""Serves one command and returns its exit status."""


def check_key_line(line: str) -> str:
    """Return a line of an authorized_keys file when all that it asks for is kept here."""
    match = _KEY.fullmatch(line)
    allowed = 'a line such as `ssh-ed25519 AAAA… ann`, perhaps after `from="192.0.2.0/24"`'
    if match is None:
        raise Refused(quoted(line), allowed)
    left = match["options"] or ""
    while left:
        option = _OPTION.match(left)
        if option is None or option[1].lower() not in _OPTIONS:
            raise Refused(f"the option {quoted(left)}", f"{', '.join(sorted(_OPTIONS))}")
        left = left[option.end() :]
    try:
        key = asyncssh.import_public_key(match["key"])
        asyncssh.import_authorized_keys(line)
    except ValueError as error:
        raise Refused(f"{quoted(line)} ({error})", allowed) from None
    if key.get_algorithm() in _WEAK:
        raise Refused(f"a key of the kind {key.get_algorithm()}", "an Ed25519 key")
    return line


def fingerprint_of(line: str) -> str:
    """Return the fingerprint of a line that check_key_line took."""
    match = _KEY.fullmatch(line)
    return asyncssh.import_public_key(match["key"] if match else line).get_fingerprint()


@contextlib.asynccontextmanager
async def git_server(
    host: str, port: int, host_key: Path, keys: Mapping[str, str], serve: Serve
) -> AsyncGenerator[Listening]:
    """Serve until the block ends, to whoever has one of `keys` (name: authorized_keys line).

    The private key is made at the first start. A command under way is cancelled at the end, and
    by nothing else: what a client does who leaves is for `serve` to decide.
    """
    private = _host_key(host_key)
    running: set[asyncio.Task[None]] = set()
    trusted = {name: asyncssh.import_authorized_keys(line) for name, line in keys.items()}
    doors = _Doors(trusted)

    async def run(process: asyncssh.SSHServerProcess[bytes]) -> None:
        # Its own task: asyncssh's ends with the connection.
        task = asyncio.create_task(_run(process, serve))
        running.add(task)
        task.add_done_callback(running.discard)

    try:
        listener = await asyncssh.listen(host, port, **_options(private, doors, run))
    except OSError as error:
        raise CannotListen(
            f"git push cannot listen on {host or '*'}:{port}: {error.strerror or error};"
            " change git.listen in serve.yaml"
        ) from error
    public = " ".join(private.export_public_key().decode().split()[:2])
    try:
        yield Listening(listener.get_port(), private.get_fingerprint(), public)
    finally:
        listener.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await listener.wait_closed()


def _options(private: asyncssh.SSHKey, doors: _Doors, run: Any) -> dict[str, Any]:
    return {
        "server_factory": doors.door,
        "server_host_keys": [private],
        "process_factory": run,
        "encoding": None,
        "allow_pty": False,
        "agent_forwarding": False,
        "x11_forwarding": False,
        "allow_scp": False,
        "sftp_factory": None,
        "gss_host": None,
        "x509_trusted_certs": None,
        "password_auth": False,
        "kbdint_auth": False,
        "host_based_auth": False,
        "login_timeout": LOGIN_SECONDS,
        "keepalive_interval": 15,
        "keepalive_count_max": 4,
        "kex_algs": "-gss-*,*-sha1,rsa2048-sha256",
        "encryption_algs": "-chacha20-poly1305@openssh.com,*-cbc*,arcfour*",
        "mac_algs": "-*sha1*,*md5*,umac-64*",
        "signature_algs": "-ssh-rsa*,ssh-dss*",
        "compression_algs": ["none"],
        "server_version": "steersman",
    }


def _host_key(path: Path) -> asyncssh.SSHKey:
    """Return the server's own key, made (0600) if there is none yet."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        made = asyncssh.generate_private_key("ssh-ed25519", comment="steersman git")
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.touch(0o600)
        made.write_private_key(fresh)
        fresh.replace(path)
        log.info("git_host_key_made", path=str(path), fingerprint=made.get_fingerprint())
    if path.stat().st_mode & 0o077 or path.stat().st_uid != os.geteuid():
        raise CannotListen(f"others may read the host key {path}; run `chmod 600 {path}`")
    return asyncssh.read_private_key(path)


class _Doors:
    """Makes a door for each connection, up to a number of them at once."""

    def __init__(self, trusted: Mapping[str, asyncssh.SSHAuthorizedKeys]) -> None:
        self.trusted = trusted
        self.open = 0

    def door(self) -> _Door:
        return _Door(self)


class _Door(asyncssh.SSHServer):
    """Decides who one client is; whatever else it may ask of a server is refused by default."""

    def __init__(self, doors: _Doors) -> None:
        self._doors = doors
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._doors.open += 1
        self._connection = conn
        if self._doors.open > MOST_CONNECTIONS:
            log.warning("git_connection_refused", address=_address(conn), open=self._doors.open)
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._doors.open -= 1

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Take a key whoever the client says it is: the key alone names its owner."""
        conn = self._connection
        if conn is None:
            return False
        address = _address(conn)
        for name, line in self._doors.trusted.items():
            if line.validate(key, address, address) is not None:
                conn.set_extra_info(steersman_key=name)
                return True
        log.info("git_key_refused", address=address, fingerprint=key.get_fingerprint())
        return False


def _address(conn: asyncssh.SSHServerConnection) -> str:
    peer = conn.get_extra_info("peername")
    return str(peer[0]) if peer else ""


class _Client:
    """A Channel over one of asyncssh's processes."""

    def __init__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self._process = process
        self._is_gone = False

    async def read(self) -> bytes:
        try:
            return await self._process.stdin.read(CHUNK)
        except _LOST:
            return b""

    async def write(self, data: bytes) -> None:
        await self._write(self._process.stdout, data)

    async def complain(self, text: str) -> None:
        await self._write(self._process.stderr, text.encode("utf-8", "replace"))

    async def _write(self, writer: asyncssh.SSHWriter[bytes], data: bytes) -> None:
        if self._is_gone:
            return
        try:
            async with asyncio.timeout(TAKING_SECONDS):
                writer.write(data)
                await writer.drain()
        except (*_LOST, TimeoutError):
            self._is_gone = True


async def _run(process: asyncssh.SSHServerProcess[bytes], serve: Serve) -> None:
    channel = _Client(process)
    key = process.get_extra_info("steersman_key")
    if process.command is None or process.subsystem is not None or key is None:
        await channel.complain("there is no shell here, only git; push to this address instead\n")
        _exit(process, NO_SHELL)
        return
    peer = process.get_extra_info("peername")
    request = Request(key, process.command, str(peer[0]) if peer else "")
    status = FAILED
    try:
        status = await serve(request, channel)
    except SteersmanError as error:
        await channel.complain(f"{error}\n")
    except Exception:
        log.exception("git_command_failed", key=key)
        await channel.complain("this went wrong here; its log says why\n")
    finally:
        _exit(process, status)


def _exit(process: asyncssh.SSHServerProcess[bytes], status: int) -> None:
    with contextlib.suppress(*_LOST):
        process.exit(status)
