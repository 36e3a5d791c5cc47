"""Frames: u32be header length, u32be body length, a JSON header, raw bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from steersman.transport.errors import ProtocolError

MAX_HEADER = 8 * 1024 * 1024
MAX_BODY = 1024 * 1024
# JSON of empty lists grows thirty times when parsed: this caps a header at about 64 MB of objects.
MAX_VALUES = 1_000_000
MAX_DEPTH = 64

_LENGTHS = struct.Struct(">II")


class Frame(NamedTuple):
    header: dict[str, Any]
    body: bytes
    size: int  # bytes on the wire


class Reply(NamedTuple):
    header: dict[str, Any]
    body: bytes


def pack(header: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Return one frame. Raises ValueError when a part is longer than any reader takes."""
    encoded = orjson.dumps(header)
    if len(encoded) > MAX_HEADER or len(body) > MAX_BODY:
        raise ValueError(
            f"a frame of {len(encoded)} + {len(body)} bytes is over {MAX_HEADER} + {MAX_BODY}; "
            "send the bulk as several bodies"
        )
    return _LENGTHS.pack(len(encoded), len(body)) + encoded + body


class Decoder:
    """Cuts the bytes from one host into frames; holds at most one unfinished frame.

    Everything fed to it is hostile input: what is no frame raises ProtocolError, and the link must
    then be dropped, since nothing after that can be trusted to be a frame boundary.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return every frame that `data` completes."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        start = 0
        with memoryview(buffer) as view:
            while len(view) - start >= _LENGTHS.size:
                header_length, body_length = _LENGTHS.unpack_from(view, start)
                if header_length > MAX_HEADER or body_length > MAX_BODY:
                    raise self._broken(f"a frame of {header_length} + {body_length} bytes")
                body_start = start + _LENGTHS.size + header_length
                end = body_start + body_length
                if len(view) < end:
                    break
                header = self._parse(bytes(view[start + _LENGTHS.size : body_start]))
                frames.append(Frame(header, bytes(view[body_start:end]), end - start))
                start = end
        del buffer[:start]
        return frames

    def _parse(self, raw: bytes) -> dict[str, Any]:
        if len(raw) > MAX_VALUES and _values(raw) > MAX_VALUES:
            raise self._broken("a header of too many values")
        try:
            header = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            # The message quotes nothing of the input, only where and why.
            raise self._broken(f"a header that is no JSON ({error.msg})") from None
        if not isinstance(header, dict):
            raise self._broken("a header that is no object")
        if _is_deep(header):
            raise self._broken(f"a header nested deeper than {MAX_DEPTH}")
        return header

    def _broken(self, why: str) -> ProtocolError:
        return ProtocolError(self._host, why)


def _values(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def _is_deep(header: dict[str, Any]) -> bool:
    level: list[Any] = [header]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
