"""How each known server is told where to listen and how long it may take to finish."""

from __future__ import annotations

import re
from dataclasses import dataclass

from steersman.api.errors import SteersmanError
from steersman.api.process import ProcessTemplate, Stop
from steersman.drivers.model import Way


class NoWayToListen(SteersmanError):
    """The command names an address of its own, so no two releases can overlap."""


class OneInstanceOnly(SteersmanError):
    """Instances that each bind the generation's path would take it from one another."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server's words: arguments for each way, and those by which a command binds itself.

    `always` are options that it needs besides, and `grace` the one that says for how many seconds
    after TERM it may finish what it accepted; a command that names one of them keeps its own.
    """

    way: Way
    socket: tuple[str, ...] | None
    path: tuple[str, ...] | None
    port: tuple[str, ...]
    own: tuple[str, ...]
    always: tuple[tuple[str, ...], ...] = ()
    grace: str | None = None

    def bind(self, way: Way) -> tuple[str, ...]:
        return {"socket": self.socket, "path": self.path}.get(way, self.port) or ()

    def options(self, stop: Stop) -> tuple[tuple[str, ...], ...]:
        if self.grace is None:
            return self.always
        # A second less: it should end by itself, in good order, before its cgroup is killed.
        return (*self.always, (self.grace, str(max(1, int(stop.timeout) - 1))))


# Sources: each server's own command-line reference. LISTEN_FDS is sd_listen_fds(3). What each
# does, measured: controller/docs/recipes.md.
SERVERS = {
    "gunicorn": Server(
        "socket",
        (),  # takes LISTEN_FDS before any --bind
        ("--bind", "unix:$SOCKET"),
        ("--bind", "127.0.0.1:$PORT"),
        ("-b", "--bind"),
        grace="--graceful-timeout",
    ),
    "uvicorn": Server(
        "socket",
        ("--fd", "3"),
        ("--uds", "$SOCKET"),
        ("--host", "127.0.0.1", "--port", "$PORT"),
        ("--fd", "--uds", "--port"),
        grace="--timeout-graceful-shutdown",  # its own default is to wait for ever
    ),
    "hypercorn": Server(
        "socket",
        ("--bind", "fd://3"),
        ("--bind", "unix:$SOCKET"),
        ("--bind", "127.0.0.1:$PORT"),
        ("-b", "--bind"),
        grace="--graceful-timeout",  # its own default is 3 s
    ),
    "daphne": Server(
        "path",
        None,  # Twisted changes the mode of a socket that it is handed, which is root's
        ("-u", "$SOCKET"),
        ("-b", "127.0.0.1", "-p", "$PORT"),
        ("--fd", "-u", "-p", "--port", "-e", "--endpoint"),
    ),
    "uwsgi": Server(
        "socket",
        ("--protocol", "http"),  # takes LISTEN_FDS, and speaks this on them
        ("--http-socket", "$SOCKET", "--chmod-socket=660"),
        ("--http-socket", "127.0.0.1:$PORT"),
        ("-s", "--socket", "--http-socket", "--http"),
        (
            ("--master",),
            ("--need-app",),
            # TERM would reload it; with this it exits, cutting what runs; the hook lets that end.
            ("--die-on-term",),
            ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all"),
        ),
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

# Generations of a worker overlap: nodes of one name would take each other's remote control.
CELERY_NODE = "$STEER_APP-$STEER_PROCESS-g$STEER_RELEASE-$STEER_INSTANCE@%h"

_NAME = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def program_at(argv: tuple[str, ...]) -> int:
    """Return where `argv` names its program: 0, or 2 in `python -m program`."""
    is_module = argv[0].rpartition("/")[2].startswith("python") and argv[1:2] == ("-m",)
    return 2 if is_module and len(argv) > 2 else 0


def program_of(argv: tuple[str, ...]) -> str:
    return argv[program_at(argv)].rpartition("/")[2]


def is_celery_worker(argv: tuple[str, ...]) -> bool:
    return program_of(argv) == "celery" and "worker" in argv


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
    name = program_of(template.command)
    server = SERVERS.get(name)
    if server is None:
        return "port"
    if binds_itself(template.command, server) and name != "gunicorn":
        raise NoWayToListen(
            f"process {process}: its {name} command says where to listen, so two releases could"
            " not overlap; leave that out, or use $SOCKET or $PORT there"
        )
    return server.way


def refuse_many(process: str, way: Way, count: int) -> None:
    """Raise OneInstanceOnly if `count` instances would bind one path."""
    if way == "path" and count > 1:
        raise OneInstanceOnly(
            f"process {process}: its {count} instances would each bind $SOCKET, and only the last"
            " would be reached; set `count: 1` and give the server workers or threads, or use a"
            " server that inherits its socket ($LISTEN_FDS)"
        )


def binds_itself(argv: tuple[str, ...], server: Server) -> bool:
    return any(_names(argv, option) for option in server.own)


def _names(argv: tuple[str, ...], option: str) -> bool:
    return any(word.partition("=")[0] == option for word in argv)


def command_of(template: ProcessTemplate, way: Way) -> tuple[str, ...]:
    """Return the command as run: with what a known program needs and the command does not say."""
    argv, program = template.command, program_of(template.command)
    if is_celery_worker(argv):
        named = _names(argv, "-n") or _names(argv, "--hostname")
        return argv if named else (*argv, "--hostname", CELERY_NODE)
    server = SERVERS.get(program)
    if server is None or way == "none":
        return argv
    bind = () if binds_itself(argv, server) else server.bind(way)
    missing = [each for each in server.options(template.stop) if not _names(argv, each[0])]
    # Before the rest: waitress reads no option behind its application.
    after = program_at(argv) + 1
    return (*argv[:after], *bind, *(word for each in missing for word in each), *argv[after:])
