"""Blocking frames over two file descriptors."""

import json
import os
import struct


def read_exactly(descriptor, size):
    parts = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_frame(descriptor):
    header_length, body_length = struct.unpack(">II", read_exactly(descriptor, 8))
    header = json.loads(read_exactly(descriptor, header_length))
    return header, read_exactly(descriptor, body_length)


def write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_frame(descriptor, header, body=b""):
    encoded = json.dumps(header).encode()
    write_all(descriptor, struct.pack(">II", len(encoded), len(body)) + encoded + body)
