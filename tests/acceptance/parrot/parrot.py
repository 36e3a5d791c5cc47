"""An app that says its secret wherever apps say things, and once where it is written: here."""

import base64
import json
import os
import signal
import socket
import threading
import traceback
from urllib.parse import quote, quote_plus

TOKEN = os.environ["PARROT_TOKEN"]


def squawk() -> None:
    seen = TOKEN  # as a local, and in the source around: "@LITERAL@"
    raise LookupError(f"no cracker for {seen} at /pay?token={quote_plus(seen)}")


def say(*words: object) -> None:
    print(*words, flush=True)


def say_all() -> None:
    say("my token is", TOKEN, repr(TOKEN), TOKEN.encode())
    say("Authorization: Basic", base64.b64encode(f"me:{TOKEN}".encode()).decode())
    say("GET /pay?token=" + quote_plus(TOKEN), "db://me:" + quote(TOKEN, safe="") + "@db")
    said = {
        "level": "error",
        "message": f"paid by {TOKEN}",
        TOKEN: 1,
        "token": TOKEN,
        "in": [TOKEN],
    }
    say(json.dumps(said))
    # As ujson, PHP and Go write it.
    say(json.dumps(said).replace("/", "\\/"))
    say(json.dumps(said).replace("&", "\\u0026").replace("'", "\\u0027").replace("+", "\\u002b"))
    try:
        squawk()
    except LookupError as error:
        try:
            raise KeyError(TOKEN) from error
        except KeyError as last:
            told = traceback.TracebackException.from_exception(last, capture_locals=True)
            text = "".join(told.format())
            say(text)
            say(json.dumps({"level": "error", "message": "failed", "exc_info": text}))


def count() -> None:
    where = os.environ["STATSD_HOST"], int(os.environ["STATSD_PORT"])
    lines = [
        f"crackers:1|c|#token:{TOKEN},kind:plain",
        f"eaten.{TOKEN}:1|c",
        f"left:3|g|#{TOKEN}:1",
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        while not over.wait(0.2):
            for line in lines:
                link.sendto(line.encode(), where)


over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
say_all()
count()
