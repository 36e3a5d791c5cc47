"""A board: takes notes over HTTP, echoes them over a websocket, and says who it is."""

import os
from hmac import compare_digest
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

REVISION = Path(__file__).with_name("VERSION").read_text().strip()
GREETING = os.environ.get("GREETING", "Welcome to the board")
STATE_DIR = os.environ.get("STATE_DIR")
TOKEN = os.environ["BOARD_TOKEN"]


async def home(request: Request) -> Response:
    shown = {"app": "board", "revision": REVISION, "pid": os.getpid(), "greeting": GREETING}
    return JSONResponse(shown)


async def healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def orders(request: Request) -> Response:
    order = await request.body()
    if STATE_DIR is not None:
        await run_in_threadpool(keep, Path(STATE_DIR, "orders"), order)
    return PlainTextResponse(order, status_code=201)


def keep(orders: Path, order: bytes) -> None:
    # One unbuffered write in append mode: orders of many processes never mix.
    with orders.open("ab", buffering=0) as book:
        book.write(order + b"\n")


async def admin(request: Request) -> Response:
    sent = request.headers.get("Authorization", "")
    if not compare_digest(sent.encode(), f"Bearer {TOKEN}".encode()):
        return PlainTextResponse("send the token as `Authorization: Bearer …`\n", status_code=401)
    return PlainTextResponse("welcome, admin\n")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(f"{REVISION} {await socket.receive_text()}")
    except WebSocketDisconnect:
        return


class StampRevision:
    """Adds X-Revision to every answer, websocket handshakes included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                stamp = (b"x-revision", REVISION.encode())
                message["headers"] = [*message.get("headers", []), stamp]
            await send(message)

        await self.app(scope, receive, stamped)


app = StampRevision(
    Starlette(
        routes=[
            Route("/", home),
            Route("/healthz", healthz),
            Route("/orders", orders, methods=["POST"]),
            Route("/admin", admin),
            WebSocketRoute("/echo", echo),
        ]
    )
)
