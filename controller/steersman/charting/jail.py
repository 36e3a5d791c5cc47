"""What the rendering process locks itself into: little time and memory, and no way to anything.

Standard library only. Each wall stands without the others, for none is everywhere: a system-call
filter (x86-64 and arm64), another user and an empty network (root), limits and an audit hook.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from types import FrameType

CPU_SECONDS = 2
MEMORY = 64 * 1024 * 1024

_NOBODY = 65534
_CLONE_NEWNET, _CLONE_NEWIPC, _CLONE_NEWUSER = 0x40000000, 0x08000000, 0x10000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 4, 38, 22
_FILTER = 2

# What an interpreter needs that only computes, and writes to a pipe that is open already: its
# number on x86-64 and on arm64.
_CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "lseek": (8, 62),
    "fstat": (5, 80),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "brk": (12, 214),
    "madvise": (28, 233),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "futex": (202, 98),
    "clock_gettime": (228, 113),
    "getrandom": (318, 278),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# linux/audit.h
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_EPERM = 1


class TookTooLong(BaseException):
    """The time is over. No template's filter may catch this."""


def lock_in() -> None:
    """Give everything up but computing and the pipes that are open. There is no way back."""
    signal.signal(signal.SIGXCPU, _time_is_over)
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is not None:
        _leave(libc)
    _limit()
    if libc is not None:
        _filter_calls(libc)
    sys.addaudithook(_refuse)


def _time_is_over(number: int, frame: FrameType | None) -> None:
    raise TookTooLong


def _leave(libc: ctypes.CDLL) -> None:
    """Leave the network, and root's powers if there are any."""
    is_root = os.geteuid() == 0
    # Where this is not allowed, the filter still refuses every socket.
    libc.unshare(_CLONE_NEWNET | _CLONE_NEWIPC | (0 if is_root else _CLONE_NEWUSER))
    if is_root:
        # A container's root may have no other user to become.
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    # After the change of user, which would undo it.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limit() -> None:
    # First, while a file can be opened.
    space = _address_space() + MEMORY
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS
    _set(resource.RLIMIT_CPU, seconds, seconds + 1)
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        _set(limit, 0, 0)
    _set(resource.RLIMIT_NOFILE, 3, 3)
    _set(resource.RLIMIT_AS, space, space)


def _address_space() -> int:
    """Return the bytes of address space that are in use before any template is seen."""
    with contextlib.suppress(OSError), open("/proc/self/statm", "rb") as stream:
        return int(stream.read().split()[0]) * resource.getpagesize()
    return 256 * 1024 * 1024


def _set(limit: int, soft: int, hard: int) -> None:
    # macOS refuses some of them; the others stand.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(limit, (soft, hard))


_REFUSED = (
    *("ctypes.", "ftplib.", "http.", "mmap.", "os.", "pty.", "shutil.", "smtplib.", "socket."),
    *("sqlite3.", "subprocess.", "tempfile.", "urllib."),
)


def _refuse(event: str, args: tuple[object, ...]) -> None:
    if event in ("open", "import") or event.startswith(_REFUSED):
        raise PermissionError(f"a template may not use {event}")


class _Instruction(ctypes.Structure):
    """struct sock_filter (linux/filter.h)."""

    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    """struct sock_fprog (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


_LOAD, _IS_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000


def _filter_calls(libc: ctypes.CDLL) -> None:
    """Refuse every system call that is not in _CALLS, with EPERM (seccomp(2))."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        return
    column = list(_ARCHITECTURES).index(machine)
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_IS_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    for numbers in _CALLS.values():
        lines += [(_IS_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _ALLOW)]
    lines.append((_RETURN, 0, 0, _ERRNO | _EPERM))
    table = (_Instruction * len(lines))(*(_Instruction(*line) for line in lines))
    libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(_Program(len(lines), table)), 0, 0)
