"""One-off commands in a release's environment, as the app's user."""

from __future__ import annotations

import os
import threading
import time

from .oneoffs import Group, Unit, identity
from .place import Place
from .streams import Streams
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Tuple

    from .wire import Header

# Seconds between two looks whether a command that writes nothing has ended.
LOOK = 0.2
# Looks for what was still on its way as the command ended, each of up to as many seconds. Looks and
# no deadline: a reader that pauses in between must not cost it the end of a dump.
LAST_LOOKS, LAST_LOOK = 20, 0.05

_running: "List[Session]" = []


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
        "PYTHONDONTWRITEBYTECODE": "1",
        "STEER_APP": app,
        "STEER_RELEASE": release.partition("-")[0],
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


class Session:
    """A command that runs, and its streams.

    `request` is that of the operation `exec`: argv, app, release, envs (names of env files), user,
    sandbox (properties of a unit, as [name, value]), and optionally `input` (it is fed) and `tty`
    ({"size": [rows, columns], "term"}).
    """

    def __init__(self, place: Place, supervisor: Any, request: Header) -> None:
        tty = request.get("tty")
        app, release = request["app"], request["release"]
        cwd = place.app(app, "releases", release, "src")
        env = environment(place, app, release, [])
        argv = [find_program(request["argv"][0], env["PATH"], cwd), *request["argv"][1:]]
        if tty is not None:
            env["TERM"] = tty["term"]
        self._streams = Streams(tty and tty["size"], bool(request.get("input")))
        self._ending = threading.Lock()
        self._is_ended = False
        try:
            if has_units(place):
                name = "steersman-%s.run.%d-%d.service" % (app, os.getpid(), request["id"])
                files = [place.app(app, "env", each) for each in request["envs"]]
                properties = [*identity(request["user"], cwd, files), *request["sandbox"]]
                self._job: Any = Unit(supervisor, name)
                self._job.start(argv, properties, env, self._streams)
            else:
                env.update(environment(place, app, release, request["envs"]))
                user = "" if place.scope == "user" else request["user"]
                self._job = Group(argv, env, cwd, user, self._streams)
        except BaseException:
            self._streams.close()
            raise
        self._streams.give()
        _running.append(self)

    def take(self, request: Header, body: bytes) -> None:
        """Take what the controller says to the command: input, its end, or a new window size."""
        if "size" in request:
            self._streams.resize(*request["size"])
        if body:
            self._streams.feed(body)
        if request.get("end"):
            self._streams.end_input()

    def attend(self, stop: threading.Event) -> Iterator[Tuple[Header, bytes]]:
        """Yield {"fd": 1 or 2} with output, {"taken": bytes of input}, at last {"exit": code}.

        What the main process leaves behind when it ends is killed; all of it is when `stop` is set.
        """
        code: Optional[int] = None
        looked = 0.0
        try:
            while code is None and not stop.is_set():
                parts = self._move(0.02 if self._streams.is_over else LOOK)
                yield from parts
                if not parts or time.monotonic() - looked > LOOK:
                    code, looked = self._job.exit_code(), time.monotonic()
            self.end()
            for _ in range(LAST_LOOKS):
                if self._streams.is_over:
                    break
                yield from self._move(LAST_LOOK)
            yield {"exit": code}, b""
        finally:
            _running.remove(self)
            self.end()
            self._streams.close()

    def _move(self, timeout: float) -> List[Tuple[Header, bytes]]:
        came, taken = self._streams.move(timeout)
        parts: List[Tuple[Header, bytes]] = [({"fd": number}, chunk) for number, chunk in came]
        return [*parts, ({"taken": taken}, b"")] if taken else parts

    def end(self) -> None:
        """End all of it; from any thread, and once is enough."""
        with self._ending:
            if not self._is_ended:
                self._job.end()
            self._is_ended = True


def end_all() -> None:
    """End every command that runs: each is in a session or unit of its own and would stay."""
    ending = [threading.Thread(target=session.end) for session in list(_running)]
    for thread in ending:
        thread.start()
    for thread in ending:
        thread.join()


def has_units(place: Place) -> bool:
    """Whether a command can be a unit of its own, which is killed by its cgroup."""
    return place.supervisor == "systemd" and os.geteuid() == 0


def find_program(name: str, path: str, cwd: str) -> str:
    """Return the absolute path of a program: from the PATH, or from `cwd` if it has a slash."""
    import shutil

    found = shutil.which(os.path.join(cwd, name) if "/" in name else name, path=path)
    if found is None:
        raise Refused("missing-program", "%s is not in the release's PATH" % name)
    return found
