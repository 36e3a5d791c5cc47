"""A program on a host, spoken to through a daemon; the one module that knows websockets."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from steersman.api.errors import HostUnreachable
from steersman.client.api import ROOT
from steersman.client.contexts import Context
from steersman.client.errors import DaemonLost, DaemonUnreachable, NotADaemon
from steersman.client.paths import path_of
from steersman.control.faults import decode_error, raise_all
from steersman.control.programs import Said, Wish

LARGEST = 1 << 20
OPENING = 15.0


@dataclass(frozen=True, slots=True)
class Dial:
    """Where a WebSocket is opened: on a Unix socket, or by TLS."""

    socket: str | None
    tls: ssl.SSLContext | None


class RemoteProgram:
    """The same methods as `control.programs.HostProgram`."""

    def __init__(self, context: Context, dial: Dial, app: str, host: str, wish: Wish) -> None:
        self._context = context
        self._dial = dial
        self._app = app
        self._host = host
        self._wish = wish
        self._link: ClientConnection | None = None

    async def open(self) -> None:
        """Ask for the program; raises what is in its way once the daemon has said so."""
        self._link = await self._connected()
        wish, terminal = self._wish, self._wish.terminal
        asked = {
            "host": self._host,
            "argv": list(wish.argv),
            "process": wish.process,
            "input": wish.has_input,
            "terminal": terminal and {"size": list(terminal.size), "term": terminal.term},
        }
        await self._link.send(orjson.dumps(asked).decode())
        await self._next()

    async def said(self) -> AsyncGenerator[Said]:
        try:
            while (said := await self._next()) is not None:
                yield said
                if said.code is not None:
                    return
        finally:
            if self._link is not None:
                await self._link.close()

    async def send(self, data: bytes) -> None:
        await self._tell(data)

    async def end_input(self) -> None:
        await self._tell(orjson.dumps({"end": True}).decode())

    async def resize(self, size: tuple[int, int]) -> None:
        await self._tell(orjson.dumps({"size": list(size)}).decode())

    async def _tell(self, message: str | bytes) -> None:
        if self._link is not None:
            try:
                await self._link.send(message)
            except ConnectionClosed:
                return  # whoever reads what it says learns why

    async def _next(self) -> Said | None:
        """Return what the program's end says next; raises its faults, or that it is gone."""
        if self._link is None:
            return None
        try:
            message = await self._link.recv()
        except ConnectionClosed as error:
            lost = DaemonLost(self._context.server)
            raise HostUnreachable(self._host, f"{lost}") from error
        if isinstance(message, bytes):
            return Said(fd=message[0], data=message[1:])
        told: dict[str, Any] = orjson.loads(message)
        if "faults" in told:
            await self._link.close()
            raise_all(told["faults"])
        return Said(
            began=told.get("began") is True, taken=int(told.get("taken", 0)), code=told.get("code")
        )

    async def _connected(self) -> ClientConnection:
        token, server = self._context.token, self._context.server
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        options: dict[str, Any] = {
            "additional_headers": headers,
            "compression": None,
            "max_size": LARGEST,
            "open_timeout": OPENING,
        }
        path = f"{ROOT}{path_of('App', self._app)}/exec"
        try:
            if self._dial.socket is not None:
                uri = f"ws://localhost{path}"
                return await unix_connect(self._dial.socket, uri, **options)
            uri = f"wss://{urlsplit(server).netloc}{path}"
            return await connect(uri, ssl=self._dial.tls, proxy=None, **options)
        except InvalidStatus as error:
            raise self._refused(bytes(error.response.body or b"")) from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise DaemonUnreachable(server, str(error) or "no answer") from error

    def _refused(self, body: bytes) -> Exception:
        try:
            return decode_error(orjson.loads(body)["details"]["error"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return NotADaemon(self._context.server, "it takes no WebSocket")
