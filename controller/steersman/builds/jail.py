"""The walls around a program of strangers: another user, a small view, and nothing left behind.

Standard library only, for root runs it as `python -I -S jail.py WALLS PROGRAM…`. WALLS is JSON:
`root` (an empty folder to build the view on), `tmp` (what /tmp is), `passwd` (a file), `uid`,
`cwd`, and lists of paths: `shown` (read-only), `hidden`, `writable`. Paths keep their names.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

NOT_STARTED, NOT_STARTED_SAYS = 127, "could not start: "
MEMORY = 4 << 30
FILE = 2 << 30
PROCESSES = 512

_NEWNS, _NEWUTS, _NEWIPC, _NEWPID = 0x20000, 0x4000000, 0x8000000, 0x20000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND = 1, 2, 4, 8, 32, 4096
_REC, _PRIVATE, _DETACH = 16384, 1 << 18, 2
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
# What programs of a machine are made of; all that is not named anywhere is not in the view.
_SYSTEM = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "usr")
TMP, _VAR_TMP, _SHM = "/tmp", "/var/tmp", "/dev/shm"  # noqa: S108 the view's own
_DEVICES = ("null", "zero", "full", "random", "urandom")

_LIBC = ctypes.CDLL(None, use_errno=True)


def main(walls: dict[str, Any], argv: Sequence[str]) -> NoReturn:
    """Run the program to its end and end as it did; all that it started ends with it."""
    os.umask(0o022)
    # A daemon that is killed takes its builds with it.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _check(_LIBC.unshare(_NEWNS | _NEWUTS | _NEWIPC | _NEWPID), "unshare")
    _mount("none", "/", None, _REC | _PRIVATE)
    told, tell = os.pipe()
    first = os.fork()
    if first == 0:
        _reporting(lambda: _first(walls, argv, tell))
    os.close(tell)
    # Nothing comes of one that could not start: it has said why.
    status = int(os.read(told, 16) or b"-1")
    os.waitpid(first, 0)
    _end_as(status)


def _reporting(action: Any) -> NoReturn:
    """Run what must never return into the caller's copy of this process."""
    try:
        action()
    except OSError as error:
        name = error.filename or "the jail"
        sys.stderr.write(f"{NOT_STARTED_SAYS}{name}: {error.strerror}\n")
        sys.stderr.flush()
    finally:
        os._exit(NOT_STARTED)


def _end_as(status: int) -> NoReturn:
    if status < 0:
        os._exit(NOT_STARTED)
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _first(walls: dict[str, Any], argv: Sequence[str], tell: int) -> None:
    """Be the namespace's process 1: when it ends, the kernel ends everything in it."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _build_view(walls)
    program = os.fork()
    if program == 0:
        os.close(tell)
        _reporting(lambda: _become(walls, argv))
    while True:
        pid, status = os.wait()
        if pid == program:
            os.write(tell, b"%d" % status)
            os._exit(0)


def _build_view(walls: dict[str, Any]) -> None:
    root = walls["root"]
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=16m,mode=755")
    for folder in ("proc", "dev", "tmp", "var"):
        os.mkdir(f"{root}/{folder}")
    os.symlink("../tmp", root + _VAR_TMP)
    _mount("proc", f"{root}/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    for name in _DEVICES:
        _show(root, f"/dev/{name}", 0)
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    os.mkdir(root + _SHM)
    _mount("tmpfs", root + _SHM, "tmpfs", _NOSUID | _NODEV, "size=64m,mode=1777")
    _show(root, walls["tmp"], _NOSUID | _NODEV, at=TMP)
    for name in _SYSTEM:
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
        elif os.path.isdir(f"/{name}"):
            _show(root, f"/{name}", _RDONLY | _NOSUID)
    _show(root, walls["passwd"], _RDONLY, at="/etc/passwd")
    for path in walls["shown"]:
        _show(root, path, _RDONLY | _NOSUID)
    for path in walls["hidden"]:
        if os.path.isdir(root + path):
            _mount("tmpfs", root + path, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for path in walls["writable"]:
        _show(root, path, _NOSUID | _NODEV)
    os.chdir(root)
    _check(_LIBC.syscall(_PIVOT_ROOT.get(os.uname().machine, -1), b".", b"."), "pivot_root")
    _check(_LIBC.umount2(b".", _DETACH), "umount2")


def _show(root: str, path: str, flags: int, at: str | None = None) -> None:
    """Have `path` in the view, by its own name or as `at`, with everything mounted below it."""
    target = root + (at or path)
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "xb"):
            pass
    _mount(path, target, None, _BIND | _REC)
    if flags:
        _mount("none", target, None, _BIND | _REMOUNT | flags)


def _become(walls: dict[str, Any], argv: Sequence[str]) -> None:
    """Give up root and all that it could regain it by, and be the program."""
    uid = walls["uid"]
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _check(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, MEMORY),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_NPROC, PROCESSES),
    ):
        _, hard = resource.getrlimit(limit)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))
    # Python ignores these, and a program would inherit that.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(walls["cwd"])
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606 it is what this is for
    except OSError as error:
        raise OSError(error.errno, error.strerror, argv[0]) from None


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    words = [source.encode(), target.encode(), kind.encode() if kind else None]
    done = _LIBC.mount(*words, ctypes.c_ulong(flags), options.encode() or None)
    _check(done, f"mount on {target}")


def _check(done: int, what: str) -> None:
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    _reporting(lambda: main(json.loads(sys.argv[1]), sys.argv[2:]))
