"""git's report to a pusher, with our reason in place of git's word for every hook that says no.

git-receive-pack answers in pkt-lines (gitprotocol-common(5)): its refs, a flush, and then a report
(gitprotocol-pack(5)), which most clients ask to have wrapped in band 1 of a side band.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

_DECLINED = b" pre-receive hook declined"
_FLUSH = b"0000"
_MOST_BAND = 65515
_MOST_REASON = 300

Reasons = Callable[[], Mapping[str, str]]


class Report:
    """Bytes of git's in, bytes for the client out; `reasons` says why refs were refused."""

    def __init__(self, reasons: Reasons) -> None:
        self._reasons = reasons
        self._rest = b""
        self._nested = b""
        self._has_advertised = False

    def feed(self, data: bytes) -> bytes:
        """Return what of the answer can be sent on by now."""
        self._rest += data
        out = b""
        while (packet := self._take()) is not None:
            out += self._passed(packet)
        return out

    def end(self) -> bytes:
        """Return what is left, as git left it."""
        rest, self._rest = self._banded(self._nested) + self._rest, b""
        self._nested = b""
        return rest

    def _take(self) -> bytes | None:
        """Return the next whole packet with its length, as soon as it is whole."""
        if len(self._rest) < 4:
            return None
        length = max(4, _length(self._rest))
        if len(self._rest) < length:
            return None
        packet, self._rest = self._rest[:length], self._rest[length:]
        return packet

    def _passed(self, packet: bytes) -> bytes:
        if not self._has_advertised:
            self._has_advertised = packet == _FLUSH
            return packet
        if packet[4:5] == b"\x01":
            # Lines of the report may be cut by packets of the band: they are put together first.
            self._nested += packet[5:]
            if not self._nested.endswith(_FLUSH):
                return b""
            nested, self._nested = self._rewritten(self._nested), b""
            return self._banded(nested)
        return self._line(packet)

    def _rewritten(self, nested: bytes) -> bytes:
        out, rest = b"", nested
        while rest:
            length = max(4, _length(rest))
            out, rest = out + self._line(rest[:length]), rest[length:]
        return out

    def _line(self, packet: bytes) -> bytes:
        """Return one pkt-line, changed if it says of a ref that a hook declined it."""
        text = packet[4:].rstrip(b"\n")
        if not text.startswith(b"ng ") or not text.endswith(_DECLINED):
            return packet
        ref = text[3 : -len(_DECLINED)]
        reason = self._reasons().get(ref.decode("utf-8", "replace"))
        if reason is None:
            return packet
        said = b"ng " + ref + b" " + reason.encode()[:_MOST_REASON] + b"\n"
        return b"%04x" % (len(said) + 4) + said

    @staticmethod
    def _banded(nested: bytes) -> bytes:
        parts = (nested[at : at + _MOST_BAND] for at in range(0, len(nested), _MOST_BAND))
        return b"".join(b"%04x\x01" % (len(part) + 5) + part for part in parts)


def _length(data: bytes) -> int:
    try:
        return int(data[:4], 16)
    except ValueError:
        return 4
