"""For every WSGI server: says who it is, and writes the orders it is sent into a book."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from mark import MARK, SLOW, write


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if environ["REQUEST_METHOD"] == "POST":
        write("orders", body.decode())
    if environ["PATH_INFO"] == "/slow":
        write("slow", "begun")
        time.sleep(SLOW)
    body = body or b"ahoy\n"
    start_response("200 OK", [("X-Revision", MARK), ("Content-Length", str(len(body)))])
    return [body]
