"""A guest book: what visitors write is kept in a file that outlives releases."""

import os
from html import escape
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

GREETING = "Hello"

BOOK = Path(os.environ["HOME"], "book.txt")
SIGNED = {"x-release": os.environ["STEER_RELEASE"], "x-process": str(os.getpid())}
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{greeting}</title>
<link rel="stylesheet" href="/static/book.css">
<h1>{greeting}</h1>
<p>Release {release}, commit <code>{commit}</code>, process {process}.
<form method="post" action="/sign">
<input name="note" required autofocus> <button>Sign</button>
</form>
<p>{count} notes, the last of them:
<ul>{notes}</ul>
"""


async def show(request: Request) -> Response:
    notes = BOOK.read_text().splitlines() if BOOK.exists() else []
    page = PAGE.format(
        greeting=GREETING,
        release=SIGNED["x-release"],
        commit=os.environ["STEER_REVISION"][:12],
        process=SIGNED["x-process"],
        count=len(notes),
        notes="".join(f"<li>{escape(note)}" for note in notes[:-11:-1]),
    )
    return HTMLResponse(page, headers=SIGNED)


async def sign(request: Request) -> Response:
    body = (await request.body()).decode(errors="replace")
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        keep(parse_qs(body).get("note", [""])[0])
        return Response(status_code=303, headers={**SIGNED, "location": "/"})
    return PlainTextResponse(keep(body), status_code=201, headers=SIGNED)


def keep(note: str) -> str:
    line = " ".join(note.split())[:200] + "\n"
    # One write to a file opened for appending: the notes of two processes never mix.
    with BOOK.open("a", buffering=1) as book:
        book.write(line)
    return line


async def health(request: Request) -> Response:
    return PlainTextResponse("fine\n", headers=SIGNED)


app = Starlette(
    routes=[
        Route("/", show),
        Route("/sign", sign, methods=["POST"]),
        Route("/healthz", health),
    ]
)
