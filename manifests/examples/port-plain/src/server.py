"""A plain HTTP server: it knows nothing but $PORT, and ends in good order on SIGTERM."""

import json
import os
import signal
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REVISION = Path(__file__).with_name("VERSION").read_text().strip()
GREETING = os.environ.get("GREETING", "Welcome to the plain")
STATE_DIR = os.environ.get("STATE_DIR")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each body waits 40 ms for its headers' ACK
    server: "Server"

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer(200, b"ok\n", "text/plain")
        elif self.path == "/":
            shown = {"app": "plain", "revision": REVISION, "pid": os.getpid()}
            body = json.dumps({**shown, "greeting": GREETING}).encode()
            self.answer(200, body, "application/json")
        else:
            self.answer(404, b"no such page\n", "text/plain")

    def do_POST(self) -> None:
        order = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/orders":
            self.answer(404, b"no such page\n", "text/plain")
            return
        if STATE_DIR is not None:
            # One unbuffered write in append mode: orders of many threads never mix.
            with Path(STATE_DIR, "orders").open("ab", buffering=0) as book:
                book.write(order + b"\n")
        self.answer(201, order, "text/plain")

    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("X-Revision", REVISION)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.server.closing:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def handle_one_request(self) -> None:
        self.server.idle.add(self.connection)
        if self.server.closing:  # `end` may have looked before this one was among the idle
            end_reading(self.connection)
        super().handle_one_request()

    def parse_request(self) -> bool:
        # A request has come: from here on the connection is not idle.
        self.server.idle.discard(self.connection)
        return super().parse_request()

    def finish(self) -> None:
        self.server.idle.discard(self.connection)
        super().finish()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass  # the proxy keeps the access log


class Server(ThreadingHTTPServer):
    daemon_threads = False  # `server_close` waits for the answers under way
    request_queue_size = 512
    closing = False

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Handler)
        self.idle: set[socket.socket] = set()

    def end(self) -> None:
        """Take no more connections, and close those that wait for nothing."""
        self.closing = True
        self.shutdown()
        for connection in list(self.idle):
            end_reading(connection)


def end_reading(connection: socket.socket) -> None:
    with suppress(OSError):  # the client was faster
        connection.shutdown(socket.SHUT_RD)


def main() -> None:
    server = Server(("127.0.0.1", int(os.environ["PORT"])))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.end).start())
    with server:
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
