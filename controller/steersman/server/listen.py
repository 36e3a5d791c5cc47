"""Where the API is listened to: a Unix socket that tells who is at its other end, and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import stat
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated

import structlog
import uvicorn
from pydantic import AfterValidator
from starlette.types import ASGIApp, Message
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from steersman.api.errors import SteersmanError
from steersman.api.model import Model
from steersman.api.refusal import Refused, quoted
from steersman.api.text import LocalPath

log = structlog.get_logger(__name__)

SOCKET = "steer.sock"
_PEER = struct.Struct("3i")
# Whoever says nothing for so long, or does not end its request's head, is dropped.
HEAD_WITHIN = 20.0
GRACE = 5.0
BACKLOG = 1024
LARGEST_MESSAGE = 1 << 20


class CannotListen(SteersmanError):
    """A door cannot be opened."""


def check_listen(address: str) -> str:
    """Return `address` when it is HOST:PORT."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise Refused(quoted(address), "HOST:PORT, such as 0.0.0.0:6443 or [::]:6443")
    return address


class ApiConfig(Model):
    """The section `api` of `serve.yaml`: where others reach this daemon, always by TLS.

    `names` are the Hosts it is known by, besides localhost: those of its certificate.
    """

    listen: Annotated[str, AfterValidator(check_listen)] | None = None
    certificate: LocalPath | None = None
    key: LocalPath | None = None
    names: tuple[str, ...] = ()


class _Peers(H11Protocol):
    """Tells the application which user a Unix socket's other end is, and drops who is slow."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = _peer_of(transport.get_extra_info("socket"))
        self.app_state = {**self.app_state, **({"peer": peer} if peer is not None else {})}
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_WITHIN, self._drop)

    def handle_events(self) -> None:
        super().handle_events()
        if self._late is not None and getattr(self, "cycle", None) is not None:
            self._late.cancel()
            self._late = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def _drop(self) -> None:
        if getattr(self, "cycle", None) is None:
            self.transport.close()


class _Sockets(WebSocketsSansIOProtocol):
    """Takes a refusal for the answer that it is, where uvicorn logs an error of the application."""

    async def send(self, message: Message) -> None:  # type: ignore[override]
        await super().send(message)  # type: ignore[arg-type]
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True


def _peer_of(connection: socket.socket | None) -> int | None:
    """Return the uid at the other end of a Unix socket (SO_PEERCRED), None for any other."""
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    given = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(given)[1])


class _Server(uvicorn.Server):
    """Serves in a loop that somebody else has: no signals of its own, and no ticking."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ended = asyncio.Event()
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        self.up.set()
        await self._ended.wait()

    def end(self) -> None:
        self.should_exit = True
        self._ended.set()


@contextlib.asynccontextmanager
async def listening(
    app: ASGIApp,
    folder: Path,
    config: ApiConfig | None = None,
    stopping: asyncio.Event | None = None,
) -> AsyncIterator[list[str]]:
    """Serve `app` until the block ends, on `folder`/steer.sock and where `config` says.

    Yields where that is. Sets `stopping` before it closes: what goes on for ever ends then.
    Raises CannotListen.
    """
    path, config = folder / SOCKET, config if config is not None else ApiConfig()
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(_unix(path))
        servers = [(_server(app, None), own)]
        told = [f"unix://{path}"]
        if config.listen is not None:
            tcp = stack.enter_context(contextlib.closing(_tcp(config.listen)))
            servers.append((_server(app, _tls(config)), tcp))
            host, port = tcp.getsockname()[:2]
            told.append(f"https://{f'[{host}]' if ':' in host else host}:{port}")
        tasks = [asyncio.create_task(server.serve([sock])) for server, sock in servers]
        try:
            for (server, _), task in zip(servers, tasks, strict=True):
                await _up(server, task)
            log.info("api_listening", where=told)
            yield told
        finally:
            if stopping is not None:
                stopping.set()
            for server, _ in servers:
                server.end()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _up(server: _Server, task: asyncio.Task[None]) -> None:
    up = asyncio.ensure_future(server.up.wait())
    await asyncio.wait({up, task}, return_when=asyncio.FIRST_COMPLETED)
    up.cancel()
    if task.done():
        raise CannotListen(f"the API could not be started: {task.exception()}; see the log")


def _server(app: ASGIApp, tls: ssl.SSLContext | None) -> _Server:
    config = uvicorn.Config(
        app,
        http=_Peers,
        ws=_Sockets,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=int(GRACE),
        timeout_keep_alive=75,
        backlog=BACKLOG,
    )
    config.load()
    config.ssl = tls
    return _Server(config)


@contextlib.contextmanager
def _unix(path: Path) -> Iterator[socket.socket]:
    """Listen on a socket that only we and root may open; a dead daemon's is replaced."""
    if _answers(path):
        raise CannotListen(
            f"{path}: another daemon answers there; stop it (`systemctl stop steer`), or name"
            " another folder with --state-dir"
        )
    made = path.with_name(f".{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX)
    try:
        made.unlink(missing_ok=True)
        listener.bind(str(made))
        made.chmod(0o600)
        listener.listen(BACKLOG)
        inode = made.stat().st_ino
        # Only now, all at once: nobody finds it open to others, or not listening yet.
        made.rename(path)
    except OSError as error:
        listener.close()
        made.unlink(missing_ok=True)
        why = f"{path}: cannot listen there: {error.strerror or error}"
        raise CannotListen(f"{why}; name another folder with --state-dir") from error
    try:
        yield listener
    finally:
        listener.close()
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == inode:
                path.unlink()


def _answers(path: Path) -> bool:
    """Return whether somebody listens on a Unix socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise CannotListen(f"{path} is there and no socket; move it away")
    except FileNotFoundError:
        return False
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def _tcp(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(
            f"api.listen {address}: {error.strerror or error}; choose another address or port"
        ) from error


def _tls(config: ApiConfig) -> ssl.SSLContext:
    """Return the TLS to serve with; raises CannotListen: without it, tokens would be readable."""
    if config.certificate is None or config.key is None:
        raise CannotListen(
            f"api.listen {config.listen}: needs api.certificate and api.key: without TLS everybody"
            " on the way could read tokens"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(config.certificate, config.key)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or str(error)
        raise CannotListen(
            f"api.certificate {config.certificate} and api.key {config.key} cannot be used: {why};"
            " both are PEM files, and fit each other"
        ) from error
    return context
