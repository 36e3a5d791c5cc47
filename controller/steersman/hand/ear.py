"""The ear: a process of its own that hears StatsD on this host, and outlives the link.

It holds a UDP port on 127.0.0.1 for each process and release, sums up what comes, and keeps the
last minutes of it for whoever connects to its Unix socket: hands, a JSON line at a time. With
nobody there for a while it ends by itself. Imports ear_lines and ear_sums, and else only stdlib.

A hand says {"version": N, "ports": {PORT: LABELS}} and {"ack": N}; it is told {"batch": N, "t",
"every", "rows"} and {"lack": TEXT}.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import socket
import sys
import time
from collections import deque

from .ear_sums import Room, Sums

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Deque, Dict, List, Tuple

VERSION = 1
EVERY = 5.0
# Seconds of what was heard that are kept for a hand to come, and bytes of it at most.
KEPT = 600.0
MOST_KEPT = 16 << 20
MOST_SERIES = 1000
MOST_PORTS = 1000
MOST_LINE = 1 << 20
RECEIVED = 1 << 20
# Datagrams taken from one port before the others have their turn.
TURN = 512
# So many batches before the last that was acknowledged are told again: the link may have lost them.
AGAIN = 6


class Port:
    """One process's socket, and what came in by it."""

    def __init__(self, number: int, labels: Dict[str, str], room: Room) -> None:
        self.labels = labels
        self.sums = Sums(labels, room)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
            self.socket.bind(("127.0.0.1", number))
        except OSError:
            self.socket.close()
            raise

    def hear(self) -> None:
        take, recv = self.sums.take, self.socket.recv
        try:
            for _ in range(TURN):
                take(recv(65536))
        except BlockingIOError:
            pass

    def close(self) -> None:
        self.sums.close()
        self.socket.close()


class Client:
    """A hand: it is told batches in their order, the next when it has taken the one before."""

    def __init__(self, connection: socket.socket, last: int) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.last = last
        self.ports: Dict[int, Dict[str, str]] = {}
        self.out = bytearray()
        self._heard = b""

    def said(self) -> List[Dict[str, Any]]:
        """Return what it said; raises OSError or ValueError when there is no use in it any more."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError
        *lines, self._heard = (self._heard + data).split(b"\n")
        if len(self._heard) > MOST_LINE:
            raise ValueError("too long a line")
        return [json.loads(line) for line in lines]

    def push(self) -> None:
        try:
            del self.out[: self.socket.send(self.out)]
        except BlockingIOError:
            pass


class Ear:
    def __init__(self, listener: socket.socket, linger: float, every: float) -> None:
        self._listener = listener
        self._linger = linger
        self._every = every
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._greet)
        self._ports: Dict[int, Port] = {}
        self._rooms: Dict[str, Room] = {}
        self._clients: List[Client] = []
        self._kept: Deque[Tuple[int, float, bytes]] = deque()
        self._size = 0
        self._number = self._acked = 0
        self._is_outdated = False
        self._alone_since = time.monotonic()

    def run(self) -> None:
        """Hear until nobody has asked for `linger` seconds."""
        due = time.monotonic() + self._every
        while not self._is_outdated and self._is_wanted():
            for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
                key.data()
            if time.monotonic() >= due:
                due += self._every
                self._sum_up()

    def _is_wanted(self) -> bool:
        if self._clients:
            self._alone_since = time.monotonic()
        return time.monotonic() - self._alone_since < self._linger

    def _greet(self) -> None:
        connection, _ = self._listener.accept()
        client = Client(connection, self._acked - AGAIN)
        self._clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._attend(client))

    def _attend(self, client: Client) -> None:
        try:
            if self._selector.get_key(client.socket).events & selectors.EVENT_WRITE:
                client.push()
            for said in self._said(client):
                # A newer hand brings a newer ear; what this one kept is lost with it.
                self._is_outdated |= int(said.get("version", VERSION)) > VERSION
                if "ports" in said:
                    client.ports = {int(port): labels for port, labels in said["ports"].items()}
                    self._listen(client)
                self._acked = max(self._acked, int(said.get("ack", 0)))
            self._tell(client)
        except (OSError, ValueError, AttributeError, TypeError):
            self._selector.unregister(client.socket)
            client.socket.close()
            self._clients.remove(client)

    def _said(self, client: Client) -> List[Dict[str, Any]]:
        try:
            return client.said()
        except BlockingIOError:
            return []

    def _tell(self, client: Client) -> None:
        """Give a client what it has not had yet, as fast as it takes it."""
        while not client.out:
            kept = ((number, line) for number, _, line in self._kept if number > client.last)
            found = next(kept, None)
            if found is None:
                break
            client.last, line = found
            client.out += line
            client.push()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.out else 0)
        self._selector.modify(client.socket, events, lambda: self._attend(client))

    def _listen(self, asking: Client) -> None:
        """Hold the ports that any hand wants, and no others."""
        wanted: Dict[int, Dict[str, str]] = {}
        for client in self._clients:
            wanted.update(client.ports)
        for number in [each for each in self._ports if each not in wanted]:
            port = self._ports.pop(number)
            self._selector.unregister(port.socket)
            port.close()
        for number, labels in wanted.items():
            if number in self._ports:
                continue
            if len(self._ports) >= MOST_PORTS:
                self._lack(asking, "more than %d ports for StatsD" % MOST_PORTS)
                break
            self._open(number, labels, asking)

    def _open(self, number: int, labels: Dict[str, str], asking: Client) -> None:
        room = self._rooms.setdefault(labels.get("app", ""), Room(MOST_SERIES))
        try:
            port = Port(number, labels, room)
        except OSError as error:
            about = (labels.get("app"), labels.get("process"), number, error.strerror)
            self._lack(asking, "statsd of %s/%s: cannot listen on 127.0.0.1:%d: %s" % about)
            return
        self._ports[number] = port
        self._selector.register(port.socket, selectors.EVENT_READ, port.hear)

    def _lack(self, client: Client, text: str) -> None:
        client.out += json.dumps({"lack": text}).encode() + b"\n"

    def _sum_up(self) -> None:
        """Close an interval: keep what it came to, and tell it."""
        now = time.time()
        lost = dropped([*self._ports])
        rows = []
        for number, port in self._ports.items():
            port.hear()
            port.sums.told["dropped"] = lost.get(number, port.sums.told["dropped"])
            rows += port.sums.flush()
        if rows:
            self._number += 1
            self._keep(now, {"batch": self._number, "t": now, "every": self._every, "rows": rows})
        for client in list(self._clients):
            self._attend(client)

    def _keep(self, now: float, batch: Dict[str, Any]) -> None:
        line = json.dumps(batch).encode() + b"\n"
        self._kept.append((self._number, now, line))
        self._size += len(line)
        while self._size > MOST_KEPT or self._kept[0][1] < now - KEPT:
            self._size -= len(self._kept.popleft()[2])


def dropped(ports: List[int]) -> Dict[int, int]:
    """Return how many datagrams the kernel had no room for, by port of 127.0.0.1 (proc(5))."""
    wanted = {"0100007F:%04X" % port: port for port in ports}
    found: Dict[int, int] = {}
    try:
        with open("/proc/net/udp", encoding="ascii") as rows:
            for row in rows:
                columns = row.split()
                if columns[1] in wanted:
                    found[wanted[columns[1]]] = int(columns[-1])
    except OSError:
        pass  # not told here
    return found


def main(path: str, linger: str, every: str, is_apart: str = "") -> None:
    """Hear until nobody asks any more; end at once where another ear does.

    `is_apart` lets go of whoever started it as soon as it listens.
    """
    os.umask(0o177)
    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    if os.path.lexists(path):
        os.unlink(path)
    listener.bind(path)
    listener.listen(16)
    if is_apart and os.fork():
        os._exit(0)
    try:
        Ear(listener, float(linger), float(every)).run()
    finally:
        os.unlink(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
