"""A browser for tests: asks a host's proxy for a site by its name, over HTTP and websockets."""

import base64
import http.client
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.host import Host

TEXT, PING, PONG = 1, 9, 10


@dataclass(frozen=True)
class Answer:
    """What came back. `headers` are by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def revision(self) -> str:
        return self.headers.get("x-revision", "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def get(host: Host, site: str, path: str = "/", **headers: str) -> Answer:
    """Return the host's answer to `GET http://site/path`."""
    return _ask(host, site, "GET", path, None, headers)


def post(host: Host, site: str, path: str, body: bytes) -> Answer:
    return _ask(host, site, "POST", path, body, {})


def _ask(
    host: Host, site: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> Answer:
    link = http.client.HTTPConnection(host.address, timeout=30)
    try:
        link.request(method, path, body, {"Host": site, **headers})
        answer = link.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, told, answer.read())
    finally:
        link.close()


def serves(host: Host, site: str, revision: str) -> bool:
    """Whether the site answers now, with this revision."""
    try:
        answer = get(host, site)
    except (OSError, http.client.HTTPException):
        return False
    return answer.status == 200 and answer.revision == revision


class WebSocket:
    """A websocket to a site (RFC 6455): short text messages both ways."""

    def __init__(self, host: Host, site: str, path: str) -> None:
        self._link = socket.create_connection((host.address, 80), timeout=10)
        self._from = self._link.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: {site}", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        self._link.sendall("\r\n".join([*lines, "", ""]).encode())
        self.status = int(self._from.readline().split()[1])
        while self._from.readline().strip():
            pass

    def __enter__(self) -> "WebSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._from.close()
        self._link.close()

    def ask(self, text: str) -> str:
        """Send a message and return the next that comes."""
        self._send(TEXT, text.encode())
        return self._frame()[1].decode()

    def wait_for_close(self, timeout: float) -> int:
        """Return the code of the server's close frame; 0 if the link ended without one."""
        self._link.settimeout(timeout)
        opcode, body = self._frame()
        if opcode is None:
            return 0
        assert opcode == 8, f"not a close frame: {opcode} {body!r}"
        return int.from_bytes(body[:2], "big")

    def _frame(self) -> tuple[int | None, bytes]:
        """Return the next frame that is no ping; those are answered."""
        while head := self._from.read(2):
            opcode, body = head[0] & 0x0F, self._from.read(head[1] & 0x7F)
            if opcode != PING:
                return opcode, body
            self._send(PONG, body)
        return None, b""

    def _send(self, opcode: int, body: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(body))
        self._link.sendall(bytes([0x80 | opcode, 0x80 | len(body)]) + mask + masked)
