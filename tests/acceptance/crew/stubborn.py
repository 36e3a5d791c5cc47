"""A server deaf to TERM, with a child that left its process group; both write what they hear."""

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from mark import MARK, write


def stay(who: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: write("told", f"{who} {MARK}"))
    write("pids", f"{os.getpid()} {MARK}")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-Revision", MARK)
        self.send_header("Content-Length", "0")
        self.end_headers()


if sys.argv[1:] == ["child"]:
    stay("child")
    while True:
        signal.pause()
stay("main")
with subprocess.Popen([sys.executable, __file__, "child"], start_new_session=True):
    HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
