"""A shop that knows nothing of who watches it; one thing in its cart has no price."""

import os
from pathlib import Path

PRICES = {"rope": 12}
CART = {"rope": 2, "sail": 1}
VERSION = (Path(__file__).parent / "VERSION").read_text().strip()


def total(cart):
    return sum(count * PRICES[name] for name, count in cart.items())


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path != "/healthz":
        print(f"asked for {path}", flush=True)
    said = f"{VERSION} {os.getpid()} {os.environ.get('GREETING', '')}"
    body = f"{total(CART)} pounds\n" if path == "/cart" else f"{said}\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Revision", VERSION)])
    return [body.encode()]
