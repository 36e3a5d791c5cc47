"""For every ASGI server: as wsgi.py, and echoes over a websocket who answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mark import MARK, SLOW, write

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def application(scope: Message, receive: Receive, send: Send) -> None:
    answer = {"http": http, "websocket": websocket, "lifespan": lifespan}[scope["type"]]
    await answer(scope, receive, send)


async def http(scope: Message, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["method"] == "POST":
        write("orders", body.decode())
    if scope["path"] == "/slow":
        write("slow", "begun")
        await asyncio.sleep(SLOW)
    body = body or b"ahoy\n"
    headers = [(b"x-revision", MARK.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def websocket(scope: Message, receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "websocket.send", "text": f"{MARK} {message['text']}"})


async def lifespan(scope: Message, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
