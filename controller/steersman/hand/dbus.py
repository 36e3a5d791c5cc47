"""Just enough D-Bus to ask systemd about units without forking `systemctl`.

Speaks to PID 1's own socket; wire format from the D-Bus specification, interfaces from
org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Tuple

PRIVATE = "/run/systemd/private"
_ALIGN = {"y": 1, "g": 1, "b": 4, "u": 4, "i": 4, "s": 4, "o": 4, "a": 4, "v": 1, "(": 8}
_ALIGN.update({"t": 8, "x": 8, "d": 8, "n": 2, "q": 2, "h": 4, "{": 8})
_FIXED = {"y": "B", "b": "I", "u": "I", "i": "i", "t": "Q", "x": "q", "d": "d", "n": "h", "q": "H"}


class Answered(OSError):
    """The service manager said no; the connection is as good as before."""


class Bus:
    """One connection to the service manager."""

    def __init__(self, path: str = PRIVATE) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(10)
        self._socket.connect(path)
        uid = str(os.getuid()).encode().hex()
        self._socket.sendall(b"\0AUTH EXTERNAL " + uid.encode() + b"\r\nBEGIN\r\n")
        answer = self._socket.recv(512)
        if not answer.startswith(b"OK"):
            raise OSError("the service manager refused this user: %r" % answer)
        self._serial = 0

    def units(self, pattern: str) -> List[Tuple[str, str, str, str]]:
        """Return (name, active, sub, object path) of each loaded unit that matches."""
        body = _array_of_strings([]) + _array_of_strings([pattern])
        rows = self._call("ListUnitsByPatterns", "asas", body)[0]
        return [(row[0], row[3], row[4], row[6]) for row in rows]

    def property(self, path: str, interface: str, name: str) -> Any:
        body = _string(interface)
        body += _pad(body, 4) + _string(name)
        return self._call("Get", "ss", body, path, "org.freedesktop.DBus.Properties")[0]

    def is_stopping(self) -> bool:
        """Return whether the host shuts down: from before the first unit is stopped for that."""
        manager = "org.freedesktop.systemd1.Manager"
        return bool(
            self.property("/org/freedesktop/systemd1", manager, "SystemState") == "stopping"
        )

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def subscribe(self) -> None:
        self._call("Subscribe", "", b"")

    def _call(
        self,
        member: str,
        signature: str,
        body: bytes,
        path: str = "/org/freedesktop/systemd1",
        interface: str = "org.freedesktop.systemd1.Manager",
    ) -> List[Any]:
        self._serial += 1
        fields = b""
        for code, kind, value in (
            (1, "o", path),
            (2, "s", interface),
            (3, "s", member),
            (6, "s", "org.freedesktop.systemd1"),
            *(((8, "g", signature),) if signature else ()),
        ):
            fields += _pad(fields, 8) + bytes((code, 1)) + kind.encode() + b"\0"
            encoded = value.encode()
            fields += (
                bytes((len(encoded),)) + encoded + b"\0"
                if kind == "g"
                else _pad(fields, 4) + struct.pack("<I", len(encoded)) + encoded + b"\0"
            )
        head = struct.pack("<cBBBIII", b"l", 1, 0, 1, len(body), self._serial, len(fields)) + fields
        self._socket.sendall(head + _pad(head, 8) + body)
        return self._reply(self._serial)

    def _reply(self, serial: int) -> List[Any]:
        while True:
            fixed = self._take(16)
            _, kind, _, _, length, _, fields_length = struct.unpack("<cBBBIII", fixed)
            padded = (fields_length + 7) & ~7
            raw = fixed + self._take(padded)
            body = self._take(length)
            fields = dict(_read("a(yv)", raw[12 : 16 + fields_length], 0, base=12)[0])
            if fields.get(5) != serial:
                continue  # a signal, or the answer to a call that timed out
            values = _read_all(fields.get(8, ""), body)
            if kind == 3:
                raise Answered("%s: %s" % (fields.get(4), values[0] if values else ""))
            return values

    def _take(self, count: int) -> bytes:
        parts = []
        while count:
            chunk = self._socket.recv(min(count, 1 << 16))
            if not chunk:
                raise OSError("the service manager closed the connection")
            parts.append(chunk)
            count -= len(chunk)
        return b"".join(parts)


class Signals:
    """What the service manager tells unasked, on a connection of its own."""

    def __init__(self) -> None:
        self._bus = Bus()
        self._bus.subscribe()
        self._tail = b""
        os.set_blocking(self._bus.fileno(), False)

    def fileno(self) -> int:
        return self._bus.fileno()

    def close(self) -> None:
        self._bus.close()

    def quiet(self, words: "Tuple[bytes, ...]") -> bool:
        """Return whether nothing told since the last call holds one of `words`.

        Raises OSError when the connection went: then anything may have happened.
        """
        quiet = True
        while True:
            try:
                chunk = os.read(self._bus.fileno(), 1 << 16)
            except BlockingIOError:
                return quiet
            if not chunk:
                raise OSError("the service manager closed the connection")
            data = self._tail + chunk
            quiet = quiet and not any(word in data for word in words)
            self._tail = data[-16:]


def _pad(data: bytes, to: int) -> bytes:
    return b"\0" * (-len(data) % to)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw + b"\0"


def _array_of_strings(items: List[str]) -> bytes:
    data = b""
    for item in items:
        data += _pad(data, 4) + _string(item)
    whole = struct.pack("<I", len(data)) + data
    return whole + _pad(whole, 4)


def _read_all(signature: str, data: bytes) -> List[Any]:
    values, offset, at = [], 0, 0
    while at < len(signature):
        one = _one(signature, at)
        value, offset = _read(one, data, offset)
        values.append(value)
        at += len(one)
    return values


def _one(signature: str, at: int) -> str:
    """Return the single complete type that starts at `at`."""
    if signature[at] == "a":
        return "a" + _one(signature, at + 1)
    if signature[at] in "({":
        depth, end = 1, at + 1
        while depth:
            depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(signature[end], 0)
            end += 1
        return signature[at:end]
    return signature[at]


def _read(kind: str, data: bytes, offset: int, base: int = 0) -> Tuple[Any, int]:
    """Read one value; `base` is where `data` stood in its message, for alignment."""
    code = kind[0]
    offset += -(offset + base) % _ALIGN[code]
    if code in _FIXED:
        form = "<" + _FIXED[code]
        size = struct.calcsize(form)
        return struct.unpack_from(form, data, offset)[0], offset + size
    if code in "so":
        length = struct.unpack_from("<I", data, offset)[0]
        start = offset + 4
        return data[start : start + length].decode("utf-8", "replace"), start + length + 1
    if code == "g":
        length = data[offset]
        return data[offset + 1 : offset + 1 + length].decode(), offset + length + 2
    if code == "v":
        inner, offset = _read("g", data, offset, base)
        return _read(inner, data, offset, base)
    if code == "a":
        return _read_array(kind[1:], data, offset, base)
    values, at = [], 1
    while kind[at] not in ")}":
        part = _one(kind, at)
        value, offset = _read(part, data, offset, base)
        values.append(value)
        at += len(part)
    return tuple(values), offset


def _read_array(item: str, data: bytes, offset: int, base: int) -> Tuple[List[Any], int]:
    length = struct.unpack_from("<I", data, offset)[0]
    offset += 4
    offset += -(offset + base) % _ALIGN[item[0]]
    end = offset + length
    values = []
    while offset < end:
        value, offset = _read(item, data, offset, base)
        values.append(value)
    return values, offset
