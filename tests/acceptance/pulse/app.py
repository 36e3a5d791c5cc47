"""The smallest app worth deploying: it says its revision, and keeps the orders it is sent."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

REVISION = Path(__file__).with_name("VERSION").read_text().strip()
STATE_DIR = os.environ.get("STATE_DIR")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if environ["REQUEST_METHOD"] == "POST" and STATE_DIR is not None:
        # One unbuffered write in append mode: orders of many workers never mix.
        with Path(STATE_DIR, "orders").open("ab", buffering=0) as book:
            book.write(sent + b"\n")
    body = sent or f"{REVISION} {environ['PATH_INFO']}\n".encode()
    headers = [("X-Revision", REVISION), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
