"""One HTTP/1.1 request and its whole answer on one raw socket, with each way to fail told apart."""

import asyncio
import socket
from dataclasses import dataclass

_CHUNK = 65536


class Failure(Exception):
    """No complete answer came; `kind` is reset, eof, truncated, refused, timeout or garbage."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True)
class Answer:
    """A complete answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


class Connection:
    """A connected socket and the bytes read from it that no answer has used yet."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._pending = b""

    @classmethod
    async def open(cls, address: tuple[str, int]) -> "Connection":
        link = socket.socket(socket.AF_INET)
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().sock_connect(link, address)
        except OSError as error:
            link.close()
            raise Failure("refused", str(error)) from error
        except BaseException:
            link.close()
            raise
        return cls(link)

    def close(self) -> None:
        self._link.close()

    def ended(self) -> bool:
        """Return whether the server has closed this idle connection already (the FIN check)."""
        try:
            return self._link.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def exchange(self, request: bytes) -> Answer:
        """Send `request` and return its answer; a `Failure` says how there was none."""
        await self._send(request)
        head = await self._until(b"\r\n\r\n", "before an answer")
        try:
            status, headers = _parse(head)
            return Answer(status, headers, await self._body(status, headers))
        except ValueError as error:
            raise Failure("garbage", f"{error} in {head[:80]!r}") from error

    async def _send(self, request: bytes) -> None:
        try:
            await self._loop.sock_sendall(self._link, request)
        except OSError as error:
            raise Failure("reset", f"while sending: {error}") from error

    async def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._chunks()
        if "content-length" in headers:
            return await self._exactly(int(headers["content-length"]))
        raise ValueError("no length")

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._until(b"\r\n", "in a chunk's size", started=True), 16):
            body += await self._exactly(size)
            await self._exactly(2)
        await self._until(b"\r\n", "at the last chunk", started=True)
        return body

    async def _until(self, end: bytes, where: str, *, started: bool = False) -> bytes:
        while end not in self._pending:
            await self._more(where, started or self._pending != b"")
        found, self._pending = self._pending.split(end, 1)
        return found

    async def _exactly(self, count: int) -> bytes:
        while len(self._pending) < count:
            await self._more(f"{len(self._pending)} bytes into {count}", True)
        found, self._pending = self._pending[:count], self._pending[count:]
        return found

    async def _more(self, where: str, started: bool) -> None:
        """Read on; an end after the first byte of an answer is a truncation, however it came."""
        try:
            data = await self._loop.sock_recv(self._link, _CHUNK)
        except OSError as error:
            kind = "truncated" if started else "reset"
            raise Failure(kind, f"{where}: {error}") from error
        if not data:
            raise Failure("truncated" if started else "eof", f"{where}: end of file")
        self._pending += data


def _parse(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, *_ = first.split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    pairs = (line.partition(":") for line in lines)
    return int(status), {name.strip().lower(): value.strip() for name, _, value in pairs}
