"""A desk: takes orders over HTTP and has Celery fill them, each in its own time."""

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from celery import Celery

REVISION = Path(__file__).with_name("VERSION").read_text().strip()
GREETING = os.environ.get("GREETING", "Welcome to the desk")
STATE_DIR = os.environ.get("STATE_DIR")

app = Celery("desk", broker=os.environ["BROKER"])
app.conf.beat_schedule = {"tidy": {"task": "desk.tidy", "schedule": 1.0}}


@app.task
def fill(order: str, seconds: float) -> None:
    note(f"start {order}")
    time.sleep(seconds)
    note(f"end {order}")


@app.task
def tidy() -> None:
    note("tidy")


def note(what: str) -> None:
    """Write down what this release did."""
    if STATE_DIR is not None:
        # One unbuffered write in append mode: notes of many processes never mix.
        with Path(STATE_DIR, "notes").open("ab", buffering=0) as book:
            book.write(f"{what} {os.environ['STEER_RELEASE']}\n".encode())


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    status, body = answer(environ)
    headers = [("X-Revision", REVISION), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]


def answer(environ: dict[str, Any]) -> tuple[str, bytes]:
    match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
        case "GET", "/":
            shown = {"app": "desk", "revision": REVISION, "pid": os.getpid()}
            return "200 OK", json.dumps({**shown, "greeting": GREETING}).encode()
        case "GET", "/healthz":
            return "200 OK", b"ok\n"
        case "POST", "/orders":
            order = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            seconds = parse_qs(environ["QUERY_STRING"]).get("seconds", ["0.05"])[0]
            fill.delay(order.decode(), float(seconds))
            return "201 Created", order
    return "404 Not Found", b"no such page\n"
