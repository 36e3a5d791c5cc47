"""Counted requests on kept connections: GET and POST by turns, nothing sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

PATIENCE = 10.0
HEADER_END = b"\r\n\r\n"


@dataclass
class Count:
    """What happened: `answered` by release, the notes that a POST was promised to have kept."""

    gets: int = 0
    posts: int = 0
    lost: list[str] = field(default_factory=list)
    connections: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    kept: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def sent(self) -> int:
        return self.gets + self.posts


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection, kept for as long as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.opened = 0

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send one request and return its answer; raises OSError or EOFError, and TimeoutError."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            self.opened += 1
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost:{self._port}\r\n"
        head += f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(head.encode() + body)
                await writer.drain()
                return await self._answer(reader)
        except (OSError, EOFError, TimeoutError):
            await self.close()
            raise

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        lines = (await reader.readuntil(HEADER_END)).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return Answer(int(lines[0].split()[1]), headers, body)

    async def close(self) -> None:
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def counted(port: int, *, connections: int = 8, rate: float = 200.0) -> AsyncGenerator[Count]:
    """Send requests while the block lasts; the count is complete when it has ended."""
    count, stop = Count(), asyncio.Event()
    pause = connections / rate
    senders = [
        asyncio.create_task(_send(port, number, pause, count, stop))
        for number in range(connections)
    ]
    try:
        yield count
    finally:
        stop.set()
        await asyncio.gather(*senders)


async def _send(port: int, number: int, pause: float, count: Count, stop: asyncio.Event) -> None:
    connection = Connection(port)
    sent = 0
    while not stop.is_set():
        sent += 1
        note = f"note {sent} of visitor {number} ({time.time_ns()})" if sent % 2 else ""
        await _count_one(connection, note, count)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stop.wait()
    count.connections += connection.opened
    await connection.close()


async def _count_one(connection: Connection, note: str, count: Count) -> None:
    began = time.monotonic()
    try:
        if note:
            count.posts += 1
            answer = await connection.ask("POST", "/sign", note.encode())
        else:
            count.gets += 1
            answer = await connection.ask("GET", "/healthz")
    except (OSError, EOFError, TimeoutError) as error:
        count.lost.append(f"{'POST' if note else 'GET'}: {error!r}")
        return
    count.slowest = max(count.slowest, time.monotonic() - began)
    if not 200 <= answer.status < 300:
        count.lost.append(f"{'POST' if note else 'GET'} answered {answer.status}")
        return
    count.answered[answer.headers.get("x-release", "")] += 1
    if note:
        count.kept.append(note)
