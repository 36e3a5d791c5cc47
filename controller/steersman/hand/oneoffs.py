"""What keeps a one-off command together, so that all of it can be ended."""

from __future__ import annotations

import os
import pwd

from .place import CHILD_ENV, must, run
from .wire import Refused

SIGTERM, SIGKILL = 15, 9
CANNOT_RUN = 126
# Seconds that a command has to end by itself.
GRACE = 2.0
MARK = "STEER_RUN"
# Looks for what forks away while it is being ended.
PASSES = 100
# Gives a new session the terminal at 0, as a login does, and becomes the command.
_ADOPT = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any, Dict, List, Optional, Sequence

    from .streams import Streams


class Unit:
    """A transient service of systemd's: it is ended by its cgroup, whatever it did with its pids.

    See systemd-run(1); the manager keeps its result until `end`.
    """

    def __init__(self, systemd: Any, name: str) -> None:
        self._systemd = systemd
        self.name = name
        self._runner: Optional[subprocess.Popen[bytes]] = None
        self._has_run = False

    def start(
        self,
        argv: Sequence[str],
        properties: Sequence[Sequence[str]],
        env: Dict[str, str],
        streams: Optional[Streams],
    ) -> None:
        """Return once it runs; without `streams`, `properties` say where it writes."""
        words = ["systemd-run", "--quiet", "--service-type=exec", "--unit=" + self.name]
        words += ["--setenv=%s=%s" % pair for pair in env.items()]
        given: List[Sequence[str]] = [
            ("RemainAfterExit", "yes"),
            ("KillMode", "mixed"),
            ("TimeoutStopSec", "%g" % GRACE),
            *properties,
        ]
        is_piped = streams is not None and not streams.tty
        if is_piped:
            words.append("--pipe")
        elif streams is not None:
            ends = ("StandardInput", "StandardOutput", "StandardError")
            given += [(end, "tty") for end in ends]
            # A shell does not heed TERM, but the hang-up of its terminal.
            given += [("TTYPath", streams.tty), ("SendSIGHUP", "yes")]
        for name, value in given:
            words += ["--property", "%s=%s" % (name, value)]
        # The manager would put variables in place of these.
        words += ["--", *(word.replace("$", "$$") for word in argv)]
        if streams is not None and is_piped:
            self._pipe(words, streams)
        else:
            must(words)
            self._has_run = True

    def _pipe(self, words: List[str], streams: Streams) -> None:
        """Let systemd-run hand its own streams on to the unit; it stays until that is gone."""
        import subprocess

        taken, out, errors = streams.theirs
        self._runner = subprocess.Popen(
            words, env=CHILD_ENV, stdin=taken, stdout=out, stderr=errors
        )

    def exit_code(self) -> Optional[int]:
        """Return how the main process ended, as a shell tells it; None while it runs.

        systemd-run that could not start it has said why on its stderr.
        """
        is_starting = self._runner is not None and self._runner.poll() is None
        result = self._systemd.result(self.name)
        if result is not None and result["sub"] != "dead":
            self._has_run = True
            return exit_code_of(result)
        if is_starting and not self._has_run:
            return None
        # It was stopped by somebody else, and forgotten.
        return 128 + SIGKILL if self._has_run else CANNOT_RUN

    def end(self) -> None:
        """End all of it; systemd forgets it then."""
        run(["systemctl", "stop", "--", self.name], timeout=60)
        run(["systemctl", "reset-failed", "--", self.name])
        if self._runner is not None:
            self._runner.wait()


def exit_code_of(result: Dict[str, Any]) -> Optional[int]:
    """Return the exit code in systemd's `result`, as a shell tells it; None while it runs."""
    if result["sub"] not in ("exited", "failed"):
        return None
    by_signal = result["code"] != os.CLD_EXITED
    return int(result["status"]) + (128 if by_signal else 0)


def identity(user: str, cwd: str, env_files: Sequence[str]) -> List[Sequence[str]]:
    """Return the properties of a unit that runs a command where and as the app's processes run."""
    known = [("User", user), ("Group", user), ("WorkingDirectory", cwd)]
    return [*known, *(("EnvironmentFile", path) for path in env_files)]


class Group:
    """A process in a session of its own and what it starts: for hosts without systemd.

    What leaves the process group, as daemons do, still has the mark in its environment; only what
    takes that away on purpose escapes.
    """

    def __init__(
        self, argv: List[str], env: Dict[str, str], cwd: str, user: str, streams: Streams
    ) -> None:
        import subprocess
        import sys

        if streams.tty:
            argv = [sys.executable, "-I", "-S", "-c", _ADOPT, *argv]
        token = os.urandom(8).hex()
        self._mark = ("%s=%s" % (MARK, token)).encode()
        try:
            self._child = subprocess.Popen(
                argv,
                env={**env, MARK: token},
                cwd=cwd,
                stdin=streams.theirs[0],
                stdout=streams.theirs[1],
                stderr=streams.theirs[2],
                start_new_session=True,
                **_become(user, streams),
            )
        except OSError as error:
            raise Refused("command-failed", "%s cannot be run: %s" % (argv[0], error))

    def exit_code(self) -> Optional[int]:
        code = self._child.poll()
        return code if code is None or code >= 0 else 128 - code

    def end(self) -> None:
        import subprocess

        self._signal(SIGTERM)
        try:
            self._child.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass
        # What it started may not have ended with it, and may be starting more just now.
        for _ in range(PASSES):
            if not self._signal(SIGKILL):
                break
        self._child.wait()

    def _signal(self, number: int) -> bool:
        """Send it to the group and to whatever left it; return whether any had left."""
        try:
            os.killpg(self._child.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # it is over: what has its number now is somebody else's
        left = [pid for pid in _marked(self._mark) if pid != self._child.pid]
        for pid in left:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        return bool(left)


def _marked(mark: bytes) -> List[int]:
    """Return the processes that were started with `mark` in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as file:
                is_marked = mark in file.read().split(b"\0")
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
        if is_marked:
            found.append(int(pid))
    return found


def _become(user: str, streams: Streams) -> Dict[str, Any]:
    if not user or os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(user)
    if streams.tty:
        os.chown(streams.tty, entry.pw_uid, -1)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
