"""Connections that each send at their share of the rate, until told to stop."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from load.exchange import Answer, Connection, Failure
from load.tally import Report, Tally


@dataclass(frozen=True)
class Plan:
    """What to send, where, and how fast; `method` MIX is GET and POST by turns.

    Connection n goes to `urls[n % len(urls)]`. A POST goes to `post_path` with a unique id as its
    body, and its answer must hold that id. `fresh` takes a new connection for each request.
    """

    urls: Sequence[str]
    host: str | None = None
    method: str = "GET"
    post_path: str = "/orders"
    rate: float = 500.0
    connections: int = 24
    fresh: bool = False
    timeout: float = 10.0
    header: str = "x-revision"


async def run(plan: Plan, stop: asyncio.Event) -> Report:
    """Send until `stop` is set, wait for the answers under way, and return what happened."""
    tally = Tally()
    senders = [_Sender(plan, number, tally, stop) for number in range(plan.connections)]
    await asyncio.gather(*(sender.run() for sender in senders))
    return tally.report()


class _Sender:
    """One connection's worth of load: at most one request is under way."""

    def __init__(self, plan: Plan, number: int, tally: Tally, stop: asyncio.Event) -> None:
        url = urlsplit(plan.urls[number % len(plan.urls)])
        if url.scheme != "http" or url.hostname is None:
            raise ValueError(f"{url.geturl()!r}: only http:// URLs with a host can be loaded")
        self._address = (url.hostname, url.port or 80)
        self._path = url.path or "/"
        self._host = plan.host if plan.host is not None else url.netloc
        self._plan, self._number, self._tally, self._stop = plan, number, tally, stop
        self._link: Connection | None = None
        self._posts = number % 2 == 0

    async def run(self) -> None:
        interval = self._plan.connections / self._plan.rate
        due = time.monotonic() + interval * self._number / self._plan.connections
        while not await self._stopped_before(due):
            await self._one()
            due += interval
            if due < time.monotonic():
                self._tally.late += 1
                due = time.monotonic()
        self._drop()

    async def _stopped_before(self, due: float) -> bool:
        if (delay := due - time.monotonic()) > 0:
            await asyncio.sleep(delay)
        return self._stop.is_set()

    async def _one(self) -> None:
        method = self._next_method()
        ident = uuid.uuid4().hex if method == "POST" else None
        began = time.monotonic()
        self._tally.sent += 1
        try:
            async with asyncio.timeout(self._plan.timeout):
                link = await self._connected()
                answer = await link.exchange(self._request(method, ident))
        except Failure as failure:
            self._drop()
            self._tally.bad(failure.kind, method, failure.detail)
        except TimeoutError:
            self._drop()
            self._tally.bad("timeout", method, f"no answer within {self._plan.timeout} s")
        else:
            self._judge(answer, method, ident, time.monotonic() - began)
            if self._plan.fresh or not answer.keeps_alive:
                self._drop()

    def _next_method(self) -> str:
        if self._plan.method != "MIX":
            return self._plan.method
        self._posts = not self._posts
        return "POST" if self._posts else "GET"

    async def _connected(self) -> Connection:
        # A close seen before the request is sent is no failure: nothing was under way.
        if self._link is not None and self._link.ended():
            self._tally.closed_by_server += 1
            self._drop()
        if self._link is None:
            self._link = await Connection.open(self._address)
            self._tally.connections += 1
        return self._link

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _request(self, method: str, ident: str | None) -> bytes:
        path = self._path if ident is None else self._plan.post_path
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}"]
        lines += ["Connection: close"] if self._plan.fresh else []
        body = ident or ""
        if ident is not None:
            lines += ["Content-Type: text/plain", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", body]).encode()

    def _judge(self, answer: Answer, method: str, ident: str | None, latency: float) -> None:
        self._tally.status(answer.status)
        shown = f"{answer.status} {answer.body[:80]!r}"
        if not 200 <= answer.status < 300:
            self._tally.bad("status", method, shown)
        elif ident is not None and ident.encode() not in answer.body:
            self._tally.bad("wrong", method, f"{shown} does not hold {ident}")
        else:
            self._tally.good(answer.headers.get(self._plan.header, ""), latency, ident)
