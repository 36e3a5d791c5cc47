"""The counting client counts what a server did, no more and no less."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat

import pytest

from load.background import Load
from load.client import Plan, run
from load.tally import Report

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


def good(body: bytes, revision: bytes = b"r1", extra: bytes = b"") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nX-Revision: %b\r\n%bContent-Length: %d\r\n\r\n"
    return head % (revision, extra, len(body)) + body


@dataclass
class BrokenServer:
    """Answers each request, in the order they come, as its script says; then well for ever."""

    script: Sequence[str]
    requests: list[str] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def __post_init__(self) -> None:
        self._actions = chain(self.script, repeat("good"))

    async def serve(self, reader: Reader, writer: Writer) -> None:
        try:
            while head := await self._head(reader):
                length = int(head.partition("Content-Length: ")[2].partition("\r")[0] or 0)
                body = await reader.readexactly(length)
                self.requests.append(head)
                action = next(self._actions)
                if len(self.requests) >= len(self.script):
                    self.done.set()
                if not await self._do(action, body, writer):
                    break
        finally:
            writer.close()

    async def _head(self, reader: Reader) -> str:
        try:
            return (await reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return ""

    async def _do(self, action: str, body: bytes, writer: Writer) -> bool:
        """Act, and return whether the connection goes on."""
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        said = {
            "good": good(body),
            "next": good(body, b"r2"),
            "goodbye": good(body, extra=b"Connection: close\r\n"),
            "hangup": good(body),
            "chunked": chunked % (len(body) or 1, body or b"x"),
            "502": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno!",
            "wrong": good(b"somebody else's"),
            "truncated": good(body + b"more")[:-2],
            "cut": b"HTTP/1.1 200 OK\r\nContent-Le",
            "garbage": b"220 smtp.example.com ESMTP\r\n\r\n",
        }
        if action == "silence":
            self.silent.set()
            await asyncio.sleep(60)
        if action == "reset":
            link = writer.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.write(said.get(action, b""))
        return action in ("good", "next", "chunked", "502", "wrong")


@asynccontextmanager
async def serving(*script: str) -> AsyncIterator[BrokenServer]:
    broken = BrokenServer(script)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: Reader, writer: Writer) -> None:
        tasks.add(asyncio.get_running_loop().create_task(broken.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    broken.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hello"
    try:
        yield broken
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def load(broken: BrokenServer, **options: object) -> Report:
    """Load the server until its script is through."""
    settings = {"urls": [broken.url], "rate": 500.0, "connections": 1, "timeout": 30.0, **options}
    async with asyncio.timeout(120):
        return await run(Plan(**settings), broken.done)  # type: ignore[arg-type]


def total(report: Report) -> int:
    return report.ok + report.failed


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("502", "status"),
        ("reset", "reset"),
        ("eof", "eof"),
        ("truncated", "truncated"),
        ("cut", "truncated"),
        ("garbage", "garbage"),
    ],
)
async def test_each_way_to_fail_has_its_own_count(action: str, kind: str, method: str) -> None:
    async with serving("good", action, "good", "good", action, action, "good") as broken:
        report = await load(broken, method=method)
    assert report.failures == {kind: 3}
    assert report.ok == 4
    assert report.sent == total(report) == len(broken.requests)
    assert [example["method"] for example in report.examples] == [method] * 3


async def test_nothing_is_sent_twice_when_a_kept_connection_breaks() -> None:
    async with serving(*["good", "reset", "good", "eof"] * 5) as broken:
        report = await load(broken, method="POST")
    assert report.failures == {"reset": 5, "eof": 5}
    assert len(broken.requests) == report.sent == 20
    assert len(set(report.acknowledged)) == len(report.acknowledged) == 10


async def test_a_closed_idle_connection_is_replaced_before_anything_is_sent_on_it() -> None:
    async with serving("hangup", "goodbye", "hangup", "good") as broken:
        report = await load(broken, rate=5.0)
    assert report.failures == {}
    assert (report.connections, report.closed_by_server) == (4, 2)


async def test_a_kept_connection_carries_all_requests_and_a_fresh_one_each_its_own() -> None:
    async with serving(*["good", "chunked"] * 5) as broken:
        kept = await load(broken)
    async with serving(*["goodbye"] * 10) as broken:
        fresh = await load(broken, fresh=True)
    assert (kept.connections, kept.ok) == (1, 10)
    assert (fresh.connections, fresh.ok) == (10, 10)
    assert all("Connection: close" in head for head in broken.requests)


async def test_a_post_is_good_only_when_its_own_id_comes_back() -> None:
    async with serving("good", "wrong", "good") as broken:
        report = await load(broken, method="POST")
    assert report.failures == {"wrong": 1}
    assert len(report.acknowledged) == 2
    assert broken.requests[0].startswith("POST /orders HTTP/1.1\r\n")


async def test_mix_takes_turns_and_the_host_header_is_sent() -> None:
    async with serving(*["good"] * 8) as broken:
        await load(broken, method="MIX", host="shop.test")
    methods = [head.split()[0] for head in broken.requests]
    assert methods.count("GET") == methods.count("POST") == 4
    assert all("\r\nHost: shop.test\r\n" in head for head in broken.requests)


async def test_revisions_are_counted_with_the_time_each_answered() -> None:
    async with serving("good", "good", "next", "next", "next") as broken:
        report = await load(broken)
    assert report.revisions == {"r1": 2, "r2": 3}
    assert report.seen["r1"][1] < report.seen["r2"][0]


async def test_silence_is_a_timeout_and_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = time.monotonic
    async with serving("good", "silence", "good", "good") as broken:
        # The time is up at once for who is not answered, and for nobody else.
        monkeypatch.setattr(time, "monotonic", lambda: clock() + 30.0 * broken.silent.is_set())
        report = await load(broken, timeout=30.0)
    assert report.failures == {"timeout": 1}
    assert report.longest_gap >= 30.0
    assert report.p50 < 30.0


async def test_a_closed_port_is_refused(closed_port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, stop.set)
    report = await run(Plan([f"http://127.0.0.1:{closed_port}/"], rate=100, connections=2), stop)
    assert set(report.failures) == {"refused"}
    assert report.ok == 0
    assert report.longest_gap == report.seconds > 0


async def test_the_rate_is_not_passed_and_the_process_reports_what_the_server_saw() -> None:
    async with serving(*["good"] * 750) as broken:
        background = Load([broken.url], rate=500, connections=24, method="MIX", timeout=60)
        await asyncio.to_thread(background.start)
        await broken.done.wait()
        report = await asyncio.to_thread(background.stop)
    assert report.failed == 0
    assert report.ok == len(broken.requests)
    assert report.rate < 550


def test_a_load_that_cannot_start_says_why() -> None:
    background = Load(["ftp://127.0.0.1/"])
    background.start()
    with pytest.raises(RuntimeError, match="only http:// URLs"):
        background.stop()
