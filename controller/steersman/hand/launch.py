"""Between Supervisor and an app: keeps its sockets, hands them on, becomes its command.

drivers/supervisor.py writes this file to hosts, where it runs on its own (stdlib, Python 3.9+):

    launch.py hold  SPEC N      keep the listening socket at fd 0, give it to whoever asks
    launch.py run   SPEC I      take that socket as systemd would pass it, and become the command
    launch.py relay SPEC PORT   bring its connections to an instance that only takes $PORT
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import shutil
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Set

    Spec = Dict[str, Any]

# Two processes hold each socket, so that it outlives the death of either.
HOLDERS = ("0", "1")
PATIENCE = 10.0
PR_SET_PDEATHSIG = 1
SIGTERM = 15
_NAME = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def main(words: List[str]) -> None:
    mode, path, which = words
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    if mode == "hold":
        hold(spec, which)
    elif mode == "relay":
        relay(spec, int(which))
    else:
        run(spec, which)


def hold(spec: Spec, which: str) -> None:
    """Give the socket at fd 0 to everyone who connects to the control socket beside it."""
    die_with_parent()
    path = "%s.%s" % (spec["socket"], which)
    if os.path.lexists(path):
        os.unlink(path)
    os.umask(0o177)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.bind(path)
        control.listen(64)
        while True:
            client, _ = control.accept()
            with client:
                try:
                    socket.send_fds(client, [b"."], [0])
                except OSError:
                    continue  # it went away: nothing of ours is lost


def take(path: str) -> int:
    """Return the listening socket at `path`, from whichever of its holders answers first."""
    deadline = time.monotonic() + PATIENCE
    why = "no holder"
    while time.monotonic() < deadline:
        for which in HOLDERS:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(1)
                try:
                    client.connect("%s.%s" % (path, which))
                    _, fds, _, _ = socket.recv_fds(client, 1, 1)
                except OSError as error:
                    why = error.strerror or str(error)
                    continue
            if fds:
                return fds[0]
        time.sleep(0.02)
    sys.exit("steersman: nobody gave the socket %s within %g s: %s" % (path, PATIENCE, why))


def run(spec: Spec, instance: str) -> None:
    """Become the command, with the release's environment and, if it has one, its socket."""
    env = dict(spec["env"])
    for path in spec["env_files"]:
        with open(path, encoding="utf-8") as file:
            env.update(parse_env(file.read()))
    env["STEER_INSTANCE"] = instance
    env["XDG_RUNTIME_DIR"] = own_folder(spec["own"], instance, spec["user"])
    if spec["way"] == "port":
        env["PORT"] = instance
    elif spec["way"] == "path":
        clear_stale(env["SOCKET"])
    elif spec["way"] == "socket":
        pass_socket(take(spec["socket"]), env)
    if spec["files"] is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (spec["files"], spec["files"]))
    become(spec["user"])
    die_with_parent()
    os.umask(spec["umask"])
    os.chdir(spec["cwd"])
    argv = [_NAME.sub(lambda found: env.get(found[1] or found[2], ""), w) for w in spec["argv"]]
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 - becoming the app is the purpose
    except OSError as error:
        sys.exit("steersman: cannot run %s: %s" % (argv[0], error.strerror))


def parse_env(text: str) -> Dict[str, str]:
    """Read the env files this product writes: NAME="value" with backslash escapes."""
    lines = (line.partition("=") for line in text.splitlines())
    return {name: _plain(quoted[1:-1]) for name, _, quoted in lines if quoted.startswith('"')}


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def own_folder(path: str, instance: str, user: str) -> str:
    """Return a private folder for one instance: gunicorn puts its control socket there."""
    path = "%s.%s" % (path, instance)
    os.makedirs(path, exist_ok=True)
    os.chmod(path, 0o700)
    if user and os.geteuid() == 0:
        shutil.chown(path, user, user)
    return path


def pass_socket(fd: int, env: Dict[str, str]) -> None:
    """Put `fd` where sd_listen_fds(3) looks for it; the pid stays the same through exec."""
    if fd == 3:
        os.set_inheritable(fd, True)
    else:
        os.dup2(fd, 3)
        os.close(fd)
    # Twisted counts the names, not the sockets.
    env.update(LISTEN_FDS="1", LISTEN_FDNAMES="web", LISTEN_PID=str(os.getpid()))


def clear_stale(path: str) -> None:
    """Remove a socket file that nobody listens on: many servers refuse to replace it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            return  # absent, or somebody listens


def become(user: str) -> None:
    if user and os.geteuid() == 0:
        import pwd

        entry = pwd.getpwnam(user)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def die_with_parent() -> None:
    """Without its supervisor an instance would run on unseen, beside the one that replaces it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGTERM)


def relay(spec: Spec, port: int) -> None:
    import asyncio

    die_with_parent()
    listener = socket.socket(fileno=take(spec["socket"]))
    asyncio.run(_relay(listener, port))


async def _relay(listener: socket.socket, port: int) -> None:
    """Relay until told to stop, then let what is open end."""
    import asyncio

    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    open_now: Set[asyncio.Task[None]] = set()
    stop = asyncio.Event()
    loop.add_signal_handler(SIGTERM, stop.set)
    stopping = asyncio.ensure_future(stop.wait())
    while not stop.is_set():
        waiting = loop.create_future()
        loop.add_reader(listener, waiting.cancel)
        await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
        loop.remove_reader(listener)
        if not stop.is_set():
            # First the instance, then the client: while it is down, others may take this one.
            upstream = await _dial(loop, port)
            if upstream is None:
                await asyncio.wait([stopping], timeout=0.05)
                continue
            task = _accepted(loop, listener, upstream)
            if task is not None:
                open_now.add(task)
                task.add_done_callback(open_now.discard)
    listener.close()
    if open_now:
        await asyncio.wait(open_now)


async def _dial(loop: Any, port: int) -> Optional[socket.socket]:
    upstream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    upstream.setblocking(False)
    try:
        await loop.sock_connect(upstream, ("127.0.0.1", port))
    except OSError:
        upstream.close()
        return None
    return upstream


def _accepted(loop: Any, listener: socket.socket, upstream: socket.socket) -> Any:
    try:
        client, _ = listener.accept()
    except BlockingIOError:
        upstream.close()  # another relay was quicker
        return None
    client.setblocking(False)
    return loop.create_task(_pump_both(loop, client, upstream))


async def _pump_both(loop: Any, client: socket.socket, upstream: socket.socket) -> None:
    import asyncio

    with client, upstream:
        await asyncio.gather(_pump(loop, client, upstream), _pump(loop, upstream, client))


async def _pump(loop: Any, source: socket.socket, sink: socket.socket) -> None:
    try:
        while True:
            data = await loop.sock_recv(source, 1 << 16)
            if not data:
                break
            await loop.sock_sendall(sink, data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # One side reset: the other must hear of it, and neither has anybody left to tell.
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


if __name__ == "__main__":
    main(sys.argv[1:])
