"""One-off commands in a release's environment, as the app's user."""

from __future__ import annotations

import os
import pwd
import threading

from .place import Place
from .wire import Refused

SIGTERM, SIGKILL = 15, 9
TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any, Callable, Dict, List

_running: "List[subprocess.Popen[bytes]]" = []


def environment(place: Place, app: str, release: str, env_files: List[str]) -> Dict[str, str]:
    """Return the variables that the release's own processes have."""
    folder = place.app(app, "releases", release)
    env = {
        "PATH": os.path.join(folder, "venv/bin") + ":/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": os.path.join(folder, "venv"),
        "PYTHONPATH": os.path.join(folder, "src"),
        "HOME": place.app(app, "shared"),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "STEER_APP": app,
    }
    for name in env_files:
        with open(place.app(app, "env", name), encoding="utf-8") as file:
            env.update(parse_env(file.read()))
    return env


def parse_env(text: str) -> Dict[str, str]:
    """Read the env files this product writes: NAME="value" with backslash escapes."""
    env = {}
    for line in text.splitlines():
        name, _, quoted = line.partition("=")
        if not quoted.startswith('"'):
            continue
        value, escaped = [], False
        for char in quoted[1:-1]:
            if escaped or char != "\\":
                value.append(char)
                escaped = False
            else:
                escaped = True
        env[name] = "".join(value)
    return env


def execute(
    argv: List[str],
    env: Dict[str, str],
    cwd: str,
    user: str,
    say: Callable[[bytes], None],
    stop: threading.Event,
) -> int:
    """Run `argv`, hand its mixed output to `say` as it comes, return its exit code."""
    import subprocess

    try:
        child = subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **_become(user),
        )
    except FileNotFoundError:
        raise Refused("missing-program", "%s is not in the release's PATH" % argv[0])
    except PermissionError as error:
        raise Refused("command-failed", "%s cannot be run: %s" % (argv[0], error))
    _running.append(child)
    watcher = threading.Thread(target=_end_on, args=(stop, child), daemon=True)
    watcher.start()
    with child:
        while True:
            chunk = os.read(child.stdout.fileno(), 1 << 16)  # type: ignore[union-attr]
            if not chunk:
                break
            say(chunk)
        code = int(child.wait())
    _running.remove(child)
    stop.set()
    return code if code >= 0 else 128 - code


def _become(user: str) -> Dict[str, Any]:
    if not user or os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _end_on(stop: threading.Event, child: "subprocess.Popen[bytes]") -> None:
    stop.wait()
    if child.poll() is None:
        _signal(child, SIGTERM)


def end_all(grace: float = 2.0) -> None:
    """End every command that runs: each has a session of its own and would outlive this hand."""
    import subprocess
    import time

    deadline = time.monotonic() + grace
    for child in _running:
        _signal(child, SIGTERM)
    for child in _running:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        # What it started may not have ended with it.
        _signal(child, SIGKILL)


def _signal(child: "subprocess.Popen[bytes]", number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        pass
