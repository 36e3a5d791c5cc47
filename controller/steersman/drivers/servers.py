"""How each known server is told where to listen, and how it takes over."""

from __future__ import annotations

import re
from dataclasses import dataclass

from steersman.api.errors import SteersmanError
from steersman.api.process import ProcessTemplate
from steersman.drivers.model import Way


class NoWayToListen(SteersmanError):
    """The command names an address of its own, so no two releases can overlap."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server's words: arguments for each way, and those by which a command binds itself."""

    way: Way
    socket: tuple[str, ...] | None
    path: tuple[str, ...] | None
    port: tuple[str, ...]
    own: tuple[str, ...]
    always: tuple[str, ...] = ()

    def arguments(self, way: Way) -> tuple[str, ...]:
        chosen = {"socket": self.socket, "path": self.path}.get(way, self.port)
        return (*(chosen or ()), *self.always)


# Sources: each server's own command-line reference. LISTEN_FDS is sd_listen_fds(3).
SERVERS = {
    "gunicorn": Server(
        "socket",
        (),  # takes LISTEN_FDS before any --bind
        ("--bind", "unix:$SOCKET"),
        ("--bind", "127.0.0.1:$PORT"),
        ("-b", "--bind"),
    ),
    "uvicorn": Server(
        "socket",
        ("--fd", "3"),
        ("--uds", "$SOCKET"),
        ("--host", "127.0.0.1", "--port", "$PORT"),
        ("--fd", "--uds", "--port"),
    ),
    "hypercorn": Server(
        "socket",
        ("--bind", "fd://3"),
        ("--bind", "unix:$SOCKET"),
        ("--bind", "127.0.0.1:$PORT"),
        ("-b", "--bind"),
    ),
    "daphne": Server(
        "socket",
        ("--fd", "3"),
        ("-u", "$SOCKET"),
        ("-b", "127.0.0.1", "-p", "$PORT"),
        ("--fd", "-u", "-p", "--port", "-e", "--endpoint"),
    ),
    "uwsgi": Server(
        "path",
        None,
        ("--http-socket", "$SOCKET", "--chmod-socket=660"),
        ("--http-socket", "127.0.0.1:$PORT"),
        ("-s", "--socket", "--http-socket", "--http"),
        ("--master", "--die-on-term", "--need-app"),
    ),
    "granian": Server(
        "port",
        None,
        None,
        ("--host", "127.0.0.1", "--port", "$PORT"),
        ("--port", "--uds"),
    ),
    "waitress-serve": Server(
        "path",
        None,
        ("--unix-socket=$SOCKET", "--unix-socket-perms=660"),
        ("--listen=127.0.0.1:$PORT",),
        ("--listen", "--port", "--unix-socket"),
    ),
}

_NAME = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def server_of(argv: tuple[str, ...]) -> tuple[str, Server] | None:
    """Return the known server that `argv` runs: by its name, or as `python -m name`."""
    words = list(argv)
    if words[0].rpartition("/")[2].startswith("python") and words[1:2] == ["-m"]:
        words = words[2:]
    name = words[0].rpartition("/")[2] if words else ""
    return (name, SERVERS[name]) if name in SERVERS else None


def variables_in(argv: tuple[str, ...]) -> frozenset[str]:
    return frozenset(a or b for word in argv for a, b in _NAME.findall(word))


def way_of(process: str, template: ProcessTemplate) -> Way:
    """Return how a process's generations take over from each other."""
    if template.port is None:
        return "none"
    if template.handover is not None and template.handover != "stop":
        return template.handover
    names = variables_in(template.command)
    for name, way in (("SOCKET", "path"), ("LISTEN_FDS", "socket"), ("PORT", "port")):
        if name in names:
            return way  # type: ignore[return-value]
    known = server_of(template.command)
    if known is None:
        return "port"
    name, server = known
    if binds_itself(template.command, server) and name != "gunicorn":
        raise NoWayToListen(
            f"process {process}: its {name} command says where to listen, so two releases could"
            " not overlap; leave that out, or use $SOCKET or $PORT there"
        )
    return server.way


def binds_itself(argv: tuple[str, ...], server: Server) -> bool:
    return any(word.partition("=")[0] in server.own for word in argv)


def command_of(template: ProcessTemplate, way: Way) -> tuple[str, ...]:
    """Return the command as run: with bind arguments added for a known server that names none."""
    known = server_of(template.command)
    if known is None or way == "none" or binds_itself(template.command, known[1]):
        return template.command
    return (*template.command, *known[1].arguments(way))
