"""StatsD of the apps on this host: a source that starts the ear where none is, and reads it."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time

from . import ear
from .place import CHILD_ENV
from .watch import Folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional

    from .place import Place

# No app's unit, and so not named like one.
NAME = "steer-ear"
# Seconds for which the ear hears on with nobody there: by itself, or kept by systemd.
LINGER, LINGER_ALONE = 600.0, 120.0
# Releases of an app, from the newest on, whose processes may be running.
RUNNING = 4
AGAIN = 10.0
MOST_READ = 1 << 20
_OURS = re.compile(r'^STATSD_HOST="127\.0\.0\.1"\nSTATSD_PORT="(\d{1,5})"$', re.M)
_MODULES = ("ear_lines", "ear_sums", "ear")
_HARDENED = (
    "DynamicUser=yes",
    "RuntimeDirectory=" + NAME,
    "MemoryMax=192M",
    "TasksMax=8",
    "Nice=5",
    "ProtectHome=yes",
    "CapabilityBoundingSet=",
    "RestrictAddressFamilies=AF_INET AF_UNIX",
)


class Statsd:
    """`take` gives what the ear has summed up, every few seconds, since it was last read."""

    def __init__(self, place: Place, settings: Dict[str, Any]) -> None:
        self._place = place
        self._linger = settings.get("linger")
        self._interval = settings.get("interval", ear.EVERY)
        self._is_unit = place.supervisor == "systemd" and place.scope == "system"
        self._path = "/run/%s/sock" % NAME if self._is_unit else place.run + "-ear.sock"
        self._socket: Optional[socket.socket] = None
        self._starting: Optional[subprocess.Popen[bytes]] = None
        self._started = -AGAIN
        self._heard = b""
        self._ports: Optional[Dict[str, Dict[str, str]]] = None
        self._seen: Dict[str, Any] = {}
        # A new release's port has to be held before its processes are there.
        self._folders = Folders()
        self._batch = 0

    @property
    def every(self) -> float:
        return 1.0 if self._starting is None else 0.05

    @property
    def fds(self) -> List[int]:
        own = [] if self._socket is None else [self._socket.fileno()]
        return [self._folders.fileno(), *own]

    def take(self) -> List[Dict[str, Any]]:
        """Return messages that are there: samples, and what is lacking. Never waits."""
        self._folders.quiet()
        # Also where no app is yet: it has to be there before the first one's processes are.
        if self._socket is None and not self._connect():
            return self._start()
        try:
            self._say_ports(self._wanted())
            return [message for line in self._lines() for message in self._read(line)]
        except BlockingIOError:
            return []
        except (OSError, ValueError):
            self._leave()
            return []

    def close(self) -> None:
        self._leave()
        self._forget()
        self._folders.close()

    def _leave(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._ports, self._heard, self._batch = None, None, b"", 0

    def _connect(self) -> bool:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            made.connect(self._path)
        except OSError:
            made.close()
            return False
        self._socket = made
        self._forget()
        return True

    def _forget(self) -> None:
        """Let go of what started the ear: it ends by itself once that listens."""
        if self._starting is not None:
            self._starting.wait()
            if self._starting.stdout is not None:
                self._starting.stdout.close()
            self._starting = None

    def _start(self) -> List[Dict[str, Any]]:
        """Start an ear, once in a while; say why the last one did not come up."""
        lacks: List[Dict[str, Any]] = []
        starting = self._starting
        if starting is not None and starting.poll() is not None:
            # One that is well has the other end of this open still.
            said = starting.stdout.read(2000) if starting.returncode and starting.stdout else b""
            if said:
                lacks = [{"lack": "statsd: %s" % said.decode("utf-8", "replace").strip()}]
            self._forget()
        if time.monotonic() - self._started >= AGAIN:
            self._started = time.monotonic()
            self._starting = self._begun()
        return lacks

    def _begun(self) -> subprocess.Popen[bytes]:
        # The program comes in by stdin: it leaves no file, and no long line where people look.
        with os.fdopen(os.memfd_create(NAME), "r+b") as program:
            program.write(_program())
            program.seek(0)
            return subprocess.Popen(
                self._argv(),
                env=CHILD_ENV,
                cwd="/",
                stdin=program,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # The hand takes along what is of its own session.
                start_new_session=True,
            )

    def _argv(self) -> List[str]:
        linger = self._linger or (LINGER if self._is_unit else LINGER_ALONE)
        words = [sys.executable, "-I", "-S", "-E", "-", self._path, "%g" % linger]
        words.append("%g" % self._interval)
        if not self._is_unit:
            return [*words, "apart"]
        program = "StandardInputData=" + base64.b64encode(_program()).decode()
        given = (*_HARDENED, "StandardInput=data", program)
        properties = [word for each in given for word in ("--property", each)]
        unit = ["systemd-run", "--quiet", "--collect", "--unit=" + NAME]
        about = "--description=StatsD of steersman's apps"
        return [*unit, about, *properties, "--", *words]

    def _say_ports(self, wanted: Dict[str, Dict[str, str]]) -> None:
        if wanted != self._ports:
            self._say({"version": ear.VERSION, "ports": wanted})
            self._ports = wanted

    def _say(self, what: Dict[str, Any]) -> None:
        if self._socket is not None:
            self._socket.sendall(json.dumps(what).encode() + b"\n")

    def _wanted(self) -> Dict[str, Dict[str, str]]:
        """Return which port is whose, as the files of variables of the apps say."""
        apps = _names(self._place.app(""))
        root = self._place.root
        self._folders.watch([os.path.dirname(root), root, self._place.app("")])
        self._seen = {app: self._seen.get(app, (0, {})) for app in apps}
        for app, (known, _) in list(self._seen.items()):
            folder = self._place.app(app, "env")
            self._folders.watch([self._place.app(app), folder])
            try:
                changed = os.stat(folder).st_mtime_ns
            except OSError:
                continue
            # Of two changes in one tick of the clock the second leaves the time as it was.
            if known != changed or time.time_ns() - changed < 2 * 10**9:
                self._seen[app] = (changed, dict(_ports(app, folder)))
        return {port: of for _, ports in self._seen.values() for port, of in ports.items()}

    def _lines(self) -> Iterator[bytes]:
        data = self._socket.recv(MOST_READ) if self._socket is not None else b""
        if not data:
            raise ConnectionResetError
        *lines, self._heard = (self._heard + data).split(b"\n")
        yield from lines
        if self._batch:
            self._say({"ack": self._batch})

    def _read(self, line: bytes) -> Iterator[Dict[str, Any]]:
        said = json.loads(line)
        if "lack" in said:
            yield said
            return
        self._batch, time_ = said["batch"], said["t"]
        for name, value, labels, kind, is_begin in said["rows"]:
            # A new counter begins from nothing, or its first growth would not be seen.
            at = time_ - said["every"] if is_begin else time_
            yield {"sample": [name, value, labels, kind], "t": at}


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _ports(app: str, folder: str) -> Iterator[Any]:
    """Yield each port of the newest releases of an app, and its labels."""
    files = [name.partition(".") for name in _names(folder)]
    known = [(int(number), process) for number, _, process in files if number.isdigit()]
    newest = sorted({number for number, _ in known})[-RUNNING:]
    for number, process in known:
        if number not in newest or not process:
            continue
        try:
            with open(os.path.join(folder, "%d.%s" % (number, process)), encoding="utf-8") as file:
                match = _OURS.search(file.read(1 << 20))
        except (OSError, ValueError):
            continue
        if match:
            # What runs once has no process, and a file that no process can have.
            labels = {"app": app, "process": process.lstrip("@"), "release": str(number)}
            yield match[1], labels


def _program() -> bytes:
    """Return the ear as one program: the modules that it needs, taken from where this one is."""
    from importlib.util import find_spec

    package = __name__.rpartition(".")[0]
    sources = []
    for name in _MODULES:
        loader: Any = find_spec("%s.%s" % (package, name)).loader  # type: ignore[union-attr]
        sources.append((name, loader.get_source("%s.%s" % (package, name))))
    return (_PROGRAM % (sources,)).encode()


_PROGRAM = """\
import sys, types
sys.modules["steer_ear"] = package = types.ModuleType("steer_ear")
package.__path__ = []
for name, source in %r:
    sys.modules["steer_ear." + name] = module = types.ModuleType("steer_ear." + name)
    module.__package__ = "steer_ear"
    exec(compile(source, name, "exec", dont_inherit=True), module.__dict__)
sys.modules["steer_ear.ear"].main(*sys.argv[1:])
"""
