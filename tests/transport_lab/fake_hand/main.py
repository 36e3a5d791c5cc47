"""The loop: one request after the other; `wait` is never answered, `flow` obeys its credit."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from . import wire
from .wire import write_frame

Answer = tuple[dict[str, Any], bytes]

cancelled: list[int] = []
flows: dict[int, Iterator[int]] = {}
store: dict[str, bytearray] = {}
stored: set[str] = set()


def main(stdin: int, stdout: int, settings: str) -> None:
    state = {"stdout": stdout, "settings": json.loads(settings)}
    while True:
        try:
            header, body = wire.read_frame(stdin)
        except EOFError:
            return
        handler = globals()["do_" + header["op"]]
        answer = handler(state, header, body)
        if answer is not None:
            fields, reply_body = answer
            write_frame(stdout, {"id": header["id"], "ok": True, **fields}, reply_body)


def do_ping(state: dict[str, Any], header: dict[str, Any], body: bytes) -> Answer:
    return {}, b""


def do_hello(state: dict[str, Any], header: dict[str, Any], body: bytes) -> Answer:
    return {"settings": state["settings"], "pid": os.getpid(), "euid": os.geteuid()}, b""


def do_echo(state: dict[str, Any], header: dict[str, Any], body: bytes) -> Answer:
    return {"args": header["args"]}, body


def do_source(state: dict[str, Any], header: dict[str, Any], body: bytes) -> Answer:
    loader: Any = sys.modules[__name__].__loader__
    text = loader.get_source("steer_hand.wire")
    return {"bytecode": loader.has_bytecode, "text": text, "sent": len(loader.packed)}, b""


def do_refuse(state: dict[str, Any], header: dict[str, Any], body: bytes) -> None:
    error = {"kind": header["kind"], "message": "no \x1b[31mred", "holder": "c2"}
    write_frame(state["stdout"], {"id": header["id"], "ok": False, "error": error})


def do_wait(state: dict[str, Any], header: dict[str, Any], body: bytes) -> None:
    return None


def do_cancel(state: dict[str, Any], header: dict[str, Any], body: bytes) -> None:
    cancelled.append(header["target"])
    flows.pop(header["target"], None)


def do_cancelled(state: dict[str, Any], header: dict[str, Any], body: bytes) -> Answer:
    return {"ids": cancelled, "flows": list(flows)}, b""


def do_flow(state: dict[str, Any], header: dict[str, Any], body: bytes) -> None:
    flows[header["id"]] = iter(range(header["count"]))
    pour(state, header["id"], header["credit"])


def do_credit(state: dict[str, Any], header: dict[str, Any], body: bytes) -> None:
    if header["target"] in flows:  # it may have ended while the credit was on its way
        pour(state, header["target"], header["n"])


def pour(state: dict[str, Any], number: int, credit: int) -> None:
    flow = flows[number]
    for _ in range(credit):
        value = next(flow, None)
        if value is None:
            write_frame(state["stdout"], {"id": number, "ok": True, "end": True})
            del flows[number]
            return
        write_frame(state["stdout"], {"id": number, "ok": True, "more": True, "value": value})


def do_overrun(state: dict[str, Any], header: dict[str, Any], body: bytes) -> None:
    for value in range(header["count"]):
        write_frame(state["stdout"], {"id": header["id"], "ok": True, "more": True, "value": value})


def do_push(state: dict[str, Any], header: dict[str, Any], body: bytes) -> Answer:
    for value in range(header["count"]):
        pushed = {"push": "test", "value": value, "pad": "x" * header["pad"]}
        write_frame(state["stdout"], pushed)
    return {}, b""


def do_garbage(state: dict[str, Any], header: dict[str, Any], body: bytes) -> None:
    wire.write_all(state["stdout"], base64.b64decode(header["data"]))


def do_die(state: dict[str, Any], header: dict[str, Any], body: bytes) -> NoReturn:
    sys.stderr.write(header["words"])
    sys.exit(header["status"])


def do_freeze(state: dict[str, Any], header: dict[str, Any], body: bytes) -> None:
    """Read and say nothing until the link is gone: nobody else would end us then."""
    end = select.poll()
    end.register(0, 0)
    end.poll()


def do_put_begin(state: dict[str, Any], header: dict[str, Any], body: bytes) -> Answer:
    kept = store.setdefault(header["sha256"], bytearray())
    return {"have": header["sha256"] in stored, "offset": len(kept)}, b""


def do_put(state: dict[str, Any], header: dict[str, Any], body: bytes) -> Answer:
    kept = store[header["sha256"]]
    assert header["offset"] == len(kept)
    kept += body
    if len(kept) < header["size"]:
        return {"received": len(kept)}, b""
    matches = hashlib.sha256(kept).hexdigest() == header["sha256"]
    if matches:
        stored.add(header["sha256"])
    return {"received": len(kept), "stored": matches}, b""
