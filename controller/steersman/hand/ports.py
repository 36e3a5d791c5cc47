"""Which TCP ports are taken: asked of the kernel by sock_diag(7), which knows listeners apart."""

from __future__ import annotations

import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Set

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
LISTEN = 10
ERROR, DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
# Family, protocol, extensions, padding, states; then which socket: any.
_REQUEST = struct.Struct("=BBBxI48x")


def listening(ports: range) -> List[int]:
    """Return which of `ports` have a TCP listener."""
    found = set()
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        try:
            found |= set(_asked(family))
        except OSError:
            found |= _read("/proc/net/" + table)  # a kernel that does not answer this
    return sorted(port for port in found if port in ports)


def _asked(family: int) -> Iterator[int]:
    """Yield the port of each listener; /proc/net/tcp walks a table of all that could be."""
    question = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 1 << LISTEN)
    size = _HEADER.size + len(question)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as diag:
        diag.settimeout(2)
        diag.send(_HEADER.pack(size, SOCK_DIAG_BY_FAMILY, DUMP, 1, 0) + question)
        while True:
            data = diag.recv(1 << 16)
            while data:
                length, kind, *_ = _HEADER.unpack_from(data)
                if kind == DONE:
                    return
                if kind == ERROR:
                    raise OSError("sock_diag refuses to answer")
                # After family, state, timer and retransmits.
                yield struct.unpack_from(">H", data, _HEADER.size + 4)[0]
                data = data[(length + 3) & ~3 :]


def _read(table: str) -> Set[int]:
    found = set()
    try:
        with open(table, encoding="ascii") as rows:
            next(rows)
            for row in rows:
                columns = row.split()
                if columns[3] == "0A":
                    found.add(int(columns[1].rpartition(":")[2], 16))
    except FileNotFoundError:
        pass  # no IPv6 here
    return found
