"""An HTTP server that keeps what it is asked, and answers as it is told to."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """A request that was accepted."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class HttpServer:
    """`status` and `headers` are what it answers; what it refuses is in `refused`."""

    def __init__(self, port: int = 0) -> None:
        self.accepted: list[Asked] = []
        self.refused: list[Asked] = []
        self.status, self.headers, self.answer = 200, dict[str, str](), b"{}"
        self.on_ask: Callable[[Asked], None] = lambda asked: None
        self._links = set[socket.socket]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer._links.add(self.connection)

            def finish(self) -> None:
                outer._links.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                outer._asked(self)

            do_PUT = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.netloc}"

    def _asked(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        if handler.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        asked = Asked(handler.command, handler.path, dict(handler.headers.items()), body)
        self.on_ask(asked)
        (self.accepted if self.status < 300 else self.refused).append(asked)
        handler.send_response(self.status)
        for key, value in self.headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(self.answer)))
        handler.end_headers()
        handler.wfile.write(self.answer)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        # Those that are kept alive would be answered still.
        for link in tuple(self._links):
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
