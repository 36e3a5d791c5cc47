"""A program in an app's environment over a WebSocket: bytes both ways, and its exit code.

In: first, as JSON, what to run and where. Then a binary message is input; text is {"end": true}
when there is no more, or {"size": [lines, columns]}.

Out: {"opened": true} once it can be run; then a binary message is the descriptor (one byte, 1 or
2) and what was written to it, and text is {"began": true}, {"taken": bytes}, {"code": n} at the
end, or {"faults": […]}. The program ends with the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from steersman.api.errors import SteersmanError
from steersman.control.faults import encode_error
from steersman.control.programs import Program, Said, Terminal, Wish
from steersman.server.ask import Ask, mapping, parsed, typed
from steersman.server.hosts import looks_of
from steersman.server.status import ApiError
from steersman.server.streams import bug

MOST_WORDS = 10_000
MOST_CELLS = 10_000
OPENING = 10.0


async def serve(ask: Ask, socket: WebSocket) -> None:
    """Run what the first message asks for, on the host that it names, until either end goes."""
    await socket.accept()
    # When the client goes, a send fails: what runs is ended by leaving its loop.
    with contextlib.suppress(WebSocketDisconnect, OSError, RuntimeError):
        try:
            async with asyncio.timeout(OPENING):
                host, wish = _wish(parsed((await socket.receive_text()).encode()))
            await ask.note("Ran", f"runs {wish.argv[0]} on {host}")
            program = await looks_of(ask).program(ask.named, host, wish)
            # What goes wrong from here on is the program's own.
            await _tell(ask, socket, {"opened": True})
            await _converse(socket, program)
        except TimeoutError:
            faults = [encode_error(ApiError(408, "nothing was asked for; send it at once"))]
            await _tell(ask, socket, {"faults": faults})
        except SteersmanError as error:
            await _tell(ask, socket, {"faults": [encode_error(error)]})
        except (WebSocketDisconnect, OSError, RuntimeError):
            raise
        except Exception as error:
            await _tell(ask, socket, {"faults": [bug(error)]})
        await socket.close()


async def _tell(ask: Ask, socket: WebSocket, data: Any) -> None:
    await socket.send_text(orjson.dumps(ask.parts.masks.data(data)).decode())


async def _converse(socket: WebSocket, program: Program) -> None:
    began = asyncio.Event()
    hearing = asyncio.create_task(_hear(socket, program, began))
    telling = asyncio.create_task(_say(socket, program, began))
    try:
        await asyncio.wait({hearing, telling}, return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            telling.result()
        else:
            hearing.result()
    finally:
        for task in (hearing, telling):
            task.cancel()
        await asyncio.gather(hearing, telling, return_exceptions=True)


async def _say(socket: WebSocket, program: Program, began: asyncio.Event) -> None:
    async with aclosing(program.said()) as said:
        async for each in said:
            if each.began:
                began.set()
            if each.data:
                await socket.send_bytes(bytes([each.fd]) + each.data)
            if data := _facts(each):
                await socket.send_text(orjson.dumps(data).decode())


def _facts(said: Said) -> dict[str, Any]:
    return {
        **({"began": True} if said.began else {}),
        **({"taken": said.taken} if said.taken else {}),
        **({"code": said.code} if said.code is not None else {}),
    }


async def _hear(socket: WebSocket, program: Program, began: asyncio.Event) -> None:
    """Give the program what the client sends, until that goes."""
    await began.wait()
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if (data := message.get("bytes")) is not None:
            await program.send(data)
            continue
        told = mapping(parsed((message.get("text") or "").encode()), ("end", "size"))
        if told.get("end") is True:
            await program.end_input()
        if "size" in told:
            await program.resize(_size(told["size"]))


def _wish(data: Any) -> tuple[str, Wish]:
    """Return the host and what to run there; raises ApiError."""
    given = mapping(data, ("host", "argv", "process", "input", "terminal"))
    argv = typed(given, "argv", list, [])
    if not 0 < len(argv) <= MOST_WORDS or not all(isinstance(word, str) for word in argv):
        raise ApiError(422, f"argv: a list of 1 to {MOST_WORDS} words")
    if any("\0" in word for word in argv) or not argv[0]:
        raise ApiError(422, "argv: words without NUL, a program first")
    terminal = typed(given, "terminal", dict)
    wish = Wish(
        argv=tuple(argv),
        process=typed(given, "process", str),
        has_input=typed(given, "input", bool, False),
        terminal=None if terminal is None else _terminal(terminal),
    )
    return typed(given, "host", str, ""), wish


def _terminal(data: dict[str, Any]) -> Terminal:
    term = typed(mapping(data, ("size", "term")), "term", str, "dumb")
    if len(term) > 64 or not term.isprintable():
        raise ApiError(422, "terminal.term: the value of $TERM")
    return Terminal(_size(data.get("size")), term)


def _size(data: Any) -> tuple[int, int]:
    is_pair = isinstance(data, list) and len(data) == 2
    if not is_pair or not all(type(n) is int and 0 < n <= MOST_CELLS for n in data):
        raise ApiError(422, f"size: [lines, columns], each from 1 to {MOST_CELLS}")
    return data[0], data[1]
