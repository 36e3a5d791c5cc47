"""Blocking frames over two file descriptors."""

from __future__ import annotations

import json
import os
import struct
from typing import Any


def read_exactly(descriptor: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_frame(descriptor: int) -> tuple[dict[str, Any], bytes]:
    header_length, body_length = struct.unpack(">II", read_exactly(descriptor, 8))
    header = json.loads(read_exactly(descriptor, header_length))
    return header, read_exactly(descriptor, body_length)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_frame(descriptor: int, header: dict[str, Any], body: bytes = b"") -> None:
    encoded = json.dumps(header).encode()
    write_all(descriptor, struct.pack(">II", len(encoded), len(body)) + encoded + body)
