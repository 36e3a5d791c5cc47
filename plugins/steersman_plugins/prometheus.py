"""Shows metrics to Prometheus: at /metrics of an address, in node_exporter's textfile, or both."""

from __future__ import annotations

import asyncio
import hmac
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from pydantic import model_validator

from steersman.api.model import Model, Positive
from steersman.api.plugging import Plugin, PluginError
from steersman.api.quantities import Timeout
from steersman.api.refusal import Refused
from steersman.api.signals import Signal, SignalName
from steersman.api.text import LocalPath
from steersman_plugins.door import Door, Network
from steersman_plugins.endpoints import HostPort
from steersman_plugins.exposition import plain_text, series_key, text_for
from steersman_plugins.series import Board, Key, Latest, samples_of

_MOST_HEADERS = 50
_WITHIN = 10.0
_NO_BODY = b""


class Prometheus(Plugin):
    """A Prometheus that scrapes an address, or a node_exporter that reads a textfile."""

    takes: ClassVar[frozenset[SignalName]] = frozenset({"metrics"})

    class Config(Model):
        """A series that was not seen for `staleness` goes; `token` is asked for as a bearer's."""

        address: HostPort | None = None
        allow: tuple[Network, ...] = ()
        token: str = ""
        textfile: LocalPath | None = None
        interval: Timeout = 15.0
        staleness: Timeout = 300.0
        series: Positive = 50_000

        @model_validator(mode="after")
        def _check(self) -> Prometheus.Config:
            if self.address is None and self.textfile is None:
                raise Refused("neither of them", "`address`, such as 127.0.0.1:9464, or `textfile`")
            if self.textfile is not None and not self.textfile.endswith(".prom"):
                raise Refused(
                    "a textfile that node_exporter would not read", "a name that ends with .prom"
                )
            return self

    config: Config

    def __init__(self, name: str, config: Config) -> None:
        super().__init__(name, config)
        self._board = Board(config.series, config.staleness)
        self._door: Door | None = None
        self._turn = asyncio.Lock()
        self._written = 0.0

    @property
    def dropped(self) -> int:
        return self._board.refused

    async def start(self) -> None:
        if self.config.textfile is not None:
            await self._write(time.monotonic())
        if self.config.address is not None and self._door is None:
            door = Door(self.config.address, self._answer, within=_WITHIN, allow=self.config.allow)
            await door.open()
            self._door = door

    async def ship(self, batch: Sequence[Signal]) -> None:
        now = time.monotonic()
        for sample in samples_of(batch):
            self._board.take(series_key(sample), sample.value, sample.kind, now)
        if self.config.textfile is not None and now >= self._written + self.config.interval:
            await self._write(now)

    async def close(self) -> None:
        if self._door is not None:
            await self._door.close()
            self._door = None
        if self.config.textfile is not None:
            # Nobody would bring it up to date: its series go, as those of a scrape do.
            with suppress(FileNotFoundError):
                os.unlink(self.config.textfile)

    async def _write(self, now: float) -> None:
        path = self.config.textfile or ""
        try:
            await asyncio.to_thread(_replace, path, self._board.rows(now))
        except OSError as error:
            raise PluginError(
                f"cannot write {path}: {error.strerror}; give the controller its folder, "
                "or choose another in `config.textfile`"
            ) from error
        self._written = now

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readline()).decode("latin-1").split()
        headers = await _read_headers(reader)
        if len(request) != 3 or not request[2].startswith("HTTP/1."):
            writer.write(_head("400 Bad Request", _NO_BODY))
        elif request[0] not in ("GET", "HEAD"):
            writer.write(_head("405 Method Not Allowed", _NO_BODY, "Allow: GET, HEAD\r\n"))
        elif request[1].partition("?")[0] != "/metrics":
            writer.write(_head("404 Not Found", _NO_BODY))
        elif not self._may_read(headers.get("authorization", "")):
            writer.write(_head("401 Unauthorized", _NO_BODY, "WWW-Authenticate: Bearer\r\n"))
        else:
            await self._show(writer, headers.get("accept", ""), is_head=request[0] == "HEAD")

    async def _show(self, writer: asyncio.StreamWriter, accept: str, *, is_head: bool) -> None:
        rows = self._board.rows(time.monotonic())
        # Tens of thousands of series take a while, and the loop is everybody's: in a thread, and
        # for one scrape at a time.
        async with self._turn:
            body, content_type = await asyncio.to_thread(text_for, accept, rows)
        head = _head("200 OK", body, f"Content-Type: {content_type}\r\n")
        writer.write(head if is_head else head + body)

    def _may_read(self, authorization: str) -> bool:
        if not self.config.token:
            return True
        scheme, _, said = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            said.strip().encode(), self.config.token.encode()
        )


def _head(status: str, body: bytes, more: str = "") -> bytes:
    said = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n"
    return said.encode()


async def _read_headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = (await reader.readline()).decode("latin-1")
        if not line.endswith("\n"):
            raise ValueError("the request was cut off")
        if not line.strip():
            return headers
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    raise ValueError("too many headers")


def _replace(path: str, rows: Sequence[tuple[Key, Latest]]) -> None:
    """Write a textfile so that node_exporter never reads half of one."""
    folder, name = os.path.split(path)
    # node_exporter reads *.prom: a file that a crash leaves behind is none.
    handle, draft = tempfile.mkstemp(prefix=f".{name}.", dir=folder or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(plain_text(rows))
            os.fchmod(file.fileno(), 0o644)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
