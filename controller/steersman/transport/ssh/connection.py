"""Connections: logging in, one remote command, and a look at a host's keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import asyncssh
import structlog
from asyncssh.constants import MSG_IGNORE

from steersman.api.errors import SteersmanError
from steersman.transport.ssh.attempt import Attempt
from steersman.transport.ssh.options import (
    ANY_KIND,
    HOST_KEY_KINDS,
    Options,
    client_options,
    tried_keys,
    trusted_kinds,
)
from steersman.transport.ssh.rows import FOREIGN, translate
from steersman.transport.target import Target

log = structlog.get_logger(__name__)

_MOST_JUMPS = 8
_SESSION: Mapping[str, Any] = {
    "encoding": None,
    "window": 256 * 1024,
    "request_pty": False,
    "x11_forwarding": False,
    "env": {},
    "send_env": [],
}

# A constant: the shell of who logs in fills in its own variables.
_STATE_SOCKET = 'printf %s/steersman/steer.sock "${XDG_STATE_HOME:-$HOME/.local/state}"'


class Receiver(Protocol):
    """Who hears what a remote command says; called from the event loop, must not raise."""

    def data_received(self, data: bytes) -> None: ...
    def stderr_received(self, data: bytes) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def ended(self, status: int | None, error: SteersmanError | None) -> None:
        """The command ended with `status`, or the connection under it with `error`."""


class Channel(Protocol):
    """The standard input of a remote command."""

    def write(self, data: bytes) -> None: ...
    def write_eof(self) -> None: ...


class _Session(asyncssh.SSHClientSession[bytes]):
    def __init__(self, target: Target, receiver: Receiver) -> None:
        self._target = target
        self._receiver = receiver
        self._status: int | None = None

    def pause_writing(self) -> None:
        self._receiver.pause_writing()

    def resume_writing(self) -> None:
        self._receiver.resume_writing()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype is None:
            self._receiver.data_received(data)
        else:
            self._receiver.stderr_received(data)

    def exit_status_received(self, status: int) -> None:
        self._status = status

    def connection_lost(self, exc: Exception | None) -> None:
        error = translate(exc, Attempt(self._target)) if isinstance(exc, FOREIGN) else None
        self._receiver.ended(self._status, error)


class Connection:
    """A logged-in SSH connection and the jump connection that it runs through, if any."""

    def __init__(
        self, target: Target, ssh: asyncssh.SSHClientConnection, jump: Connection | None
    ) -> None:
        self._target = target
        self._jump = jump
        self._ssh = ssh

    @property
    def tunnel(self) -> asyncssh.SSHClientConnection:
        """What asyncssh needs to make another connection through this one."""
        return self._ssh

    async def start(self, command: str, receiver: Receiver) -> Channel:
        """Run `command`, which must be a constant, and return the channel to write to."""
        try:
            channel, _ = await self._ssh.create_session(
                lambda: _Session(self._target, receiver), command, **_SESSION
            )
        except FOREIGN as error:
            raise translate(error, Attempt(self._target)) from error
        return channel

    def send_no_keepalives(self) -> None:
        """Leave it to whoever runs a command to see that the peer is there."""
        self._ssh.set_keepalive(0)

    @asynccontextmanager
    async def forwarded(self, here: str, there: str) -> AsyncIterator[None]:
        """Have connections to the Unix socket `here` come out at the one `there`."""
        try:
            listener = await self._ssh.forward_local_path(here, there)
        except FOREIGN as error:
            raise translate(error, Attempt(self._target)) from error
        try:
            yield
        finally:
            listener.close()
            await listener.wait_closed()

    async def state_socket(self) -> str:
        """Return where the daemon of the user who logged in listens."""
        try:
            options = {**_SESSION, "encoding": "utf-8"}
            said = await self._ssh.run(_STATE_SOCKET, check=True, **options)
        except FOREIGN as error:
            raise translate(error, Attempt(self._target)) from error
        return str(said.stdout).strip()

    async def close(self, seconds: float = 2) -> None:
        """Say goodbye; a peer that has not taken it within `seconds` is left without."""
        self._ssh.close()
        try:
            async with asyncio.timeout(seconds):
                await self._ssh.wait_closed()
        except TimeoutError:
            self._ssh.abort()
            await self._ssh.wait_closed()
        if self._jump is not None:
            await self._jump.close(seconds)

    def abort(self) -> None:
        """Drop the connection without a word."""
        self._ssh.abort()
        if self._jump is not None:
            self._jump.abort()


async def connect(
    target: Target, *, trust_files: Sequence[Path] = (), depth: int = 0
) -> Connection:
    """Log in to `target`, through its jump hosts, trusting only keys that somebody pinned.

    `trust_files` are asked besides OpenSSH's own; a target with pinned `host_keys` asks none.
    Raises HostUnreachable, HostKeyUnknown, HostKeyChanged, LoginRefused, IdentityLocked,
    PeerRefused, ProtocolError or LinkSettingsRefused, each naming the host that failed.
    """
    attempt = Attempt(target)
    jump: Connection | None = None
    options: Options | None = None
    try:
        options = await client_options(attempt, trust_files)
        jump = await _connect_jump(attempt, options, trust_files, depth)
        ssh = await asyncssh.connect(
            options.host,
            options.port,
            options=options,
            config=None,
            tunnel=jump.tunnel if jump is not None else None,
            server_host_key_algs=trusted_kinds(options),
        )
    except BaseException as error:
        if jump is not None:
            await jump.close()
        if isinstance(error, asyncssh.PermissionDenied) and options is not None:
            attempt.tried = await tried_keys(options)
        if isinstance(error, FOREIGN):
            raise translate(error, attempt) from error
        raise
    _send_no_fillers(ssh)
    return Connection(target, ssh, jump)


def _send_no_fillers(ssh: asyncssh.SSHClientConnection) -> None:
    """Leave out the empty packet that asyncssh sends ahead of each.

    It is for ciphers in CBC mode alone (RFC 4251, 9.3.1), and doubles what every ping costs.
    """
    send = ssh.send_packet

    def send_packet(kind: int, *args: bytes, **options: Any) -> None:
        if kind != MSG_IGNORE:
            send(kind, *args, **options)

    if "cbc" not in str(ssh.get_extra_info("send_cipher")):
        ssh.send_packet = send_packet  # type: ignore[method-assign, assignment]


async def _connect_jump(
    attempt: Attempt,
    options: Options,
    trust_files: Sequence[Path],
    depth: int,
) -> Connection | None:
    hop = attempt.target.jump
    if hop is None and isinstance(options.tunnel, str):
        hop = _configured_jump(options.tunnel)
    if hop is None:
        return None
    if depth == _MOST_JUMPS:
        raise ValueError(f"it is behind more than {_MOST_JUMPS} jump hosts, or they go in a circle")
    return await connect(hop, trust_files=trust_files, depth=depth + 1)


def _configured_jump(hops: str) -> Target | None:
    """Return ssh_config's ProxyJump (`[user@]host[:port],…`, the nearest first) as a chain.

    asyncssh would walk it by itself, but without our trust files and with its own host key rules.
    """
    chain: Target | None = None
    for hop in hops.split(","):
        user, _, place = hop.rpartition("@")
        address, _, port = place.partition(":")
        chain = Target(
            name=hop,
            address=address,
            port=int(port) if port else None,
            user=user or None,
            jump=chain,
            use_ssh_config=True,
        )
    return chain


async def fetch_host_keys(
    target: Target, *, trust_files: Sequence[Path] = ()
) -> list[tuple[str, str, str]]:
    """Return what the host shows of itself: algorithm, key line, SHA256 fingerprint.

    Nothing is trusted by this and nobody logs in; jump hosts on the way must be trusted already.
    """
    attempt = Attempt(replace(target, identity=None))
    jump: Connection | None = None
    try:
        options = await client_options(attempt, trust_files)
        jump = await _connect_jump(attempt, options, trust_files, depth=0)
        first = await _fetch_host_key(options, jump, ANY_KIND)
        others = [kind for kind in HOST_KEY_KINDS if first.get_algorithm() not in kind]
        shown = [first, *[key for kind in others async for key in _more_keys(options, jump, kind)]]
    except FOREIGN as error:
        raise translate(error, attempt) from error
    finally:
        if jump is not None:
            await jump.close()
    return [
        (key.get_algorithm(), key.export_public_key().decode().strip(), key.get_fingerprint())
        for key in shown
    ]


async def _more_keys(
    options: Options, jump: Connection | None, kind: Sequence[str]
) -> AsyncIterator[asyncssh.SSHKey]:
    try:
        yield await _fetch_host_key(options, jump, kind)
    except (asyncssh.DisconnectError, OSError):
        # A server without a key of this kind hangs up, in one of several ways.
        log.debug("host_key_kind_absent", host=options.host, kind=kind)


async def _fetch_host_key(
    options: Options, jump: Connection | None, kinds: Sequence[str]
) -> asyncssh.SSHKey:
    key = await asyncssh.get_server_host_key(
        options.host,
        options.port,
        tunnel=jump.tunnel if jump is not None else None,
        proxy_command=options.proxy_command,
        config=None,
        kex_algs=[name.decode() for name in options.kex_algs],
        server_host_key_algs=list(kinds),
    )
    if key is None:
        raise asyncssh.KeyExchangeFailed("it showed no host key")
    return key
