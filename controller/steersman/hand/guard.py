"""Runs a release's command where no systemd keeps it, for longer than the hand lives.

phase.py starts this source in a Python of its own (stdlib, 3.9+). It reads what to do as JSON,
takes the lock, writes the record, forks to be nobody's child, and closes its output: silence means
that the command is under way.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import signal
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    Work = Dict[str, Any]
    Child = subprocess.Popen[Any]


def main() -> None:
    work = json.load(sys.stdin)
    lock = os.open(work["lock"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    write(work["record"], {"boot": work["boot"]})
    if os.fork():
        os._exit(0)
    for fd in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), fd)
    code, timed_out = run(work)
    write(work["record"], {"boot": work["boot"], "exit": code, "timed_out": timed_out})


def run(work: Work) -> "tuple[int, bool]":
    """Return how the command ended, as a shell tells it, and whether it took too long."""
    with open(work["log"], "wb", buffering=0) as log:
        try:
            child = subprocess.Popen(
                work["argv"],
                env=work["env"],
                cwd=work["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **become(work["user"]),
            )
        except OSError as error:
            log.write(("%s cannot be run: %s\n" % (work["argv"][0], error)).encode())
            return 126, False
        code = wait(child, work["timeout"])
        timed_out = code is None
        if code is None:
            end(child, signal.SIGTERM)
            code = wait(child, work["grace"])
        # What it left behind, or all of it when it would not end.
        end(child, signal.SIGKILL)
        code = child.wait() if code is None else code
    return (code if code >= 0 else 128 - code), timed_out


def become(user: str) -> Work:
    if not user or os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def wait(child: Child, seconds: float) -> Optional[int]:
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def end(child: Child, number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        pass


def write(path: str, record: Work) -> None:
    """Replace `path` so that a crash leaves the old record or the new one."""
    temporary = "%s.tmp-%d" % (path, os.getpid())
    with open(temporary, "wb") as file:
        file.write(json.dumps(record, sort_keys=True).encode())
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


if __name__ == "__main__":
    main()
