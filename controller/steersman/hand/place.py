"""Where things are on this host, and how a child process is run there."""

from __future__ import annotations

import os
from collections import namedtuple

from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

CHILD_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/",
    "SYSTEMD_PAGER": "",
}


class Place(
    namedtuple(
        "Place",
        ["root", "run", "units", "sites", "tmpfiles", "supervisor", "proxy", "scope", "extra"],
    )
):
    """The settings a controller gives its hand, as absolute paths and driver names.

    `extra` is what a driver needs beyond the paths, such as control sockets and programs.
    """

    __slots__ = ()
    root: str
    run: str
    units: str
    sites: str
    tmpfiles: str
    supervisor: str
    proxy: str
    scope: str
    extra: Dict[str, str]

    @property
    def store(self) -> str:
        return os.path.join(self.root, "store")

    def app(self, app: str, *parts: str) -> str:
        return os.path.join(self.root, "apps", app, *parts)

    def run_of(self, app: str, *parts: str) -> str:
        return os.path.join(self.run, app, *parts)


def place_from(settings: Dict[str, Any]) -> Place:
    return Place(
        root=settings["root"],
        run=settings["run"],
        units=settings["units"],
        sites=settings["sites"],
        tmpfiles=settings["tmpfiles"],
        supervisor=settings["supervisor"],
        proxy=settings["proxy"],
        scope=settings["scope"],
        extra=dict(settings.get("extra") or {}),
    )


def run(
    argv: Sequence[str],
    *,
    env: Optional[Dict[str, str]] = None,
    cwd: str = "/",
    timeout: float = 600,
) -> Tuple[int, str]:
    """Run `argv` to its end; return its exit code and its mixed output (at most 64 KiB)."""
    import subprocess

    try:
        done = subprocess.run(
            list(argv),
            env={**CHILD_ENV, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
        )
    except FileNotFoundError:
        raise Refused("missing-program", "%s is not installed here" % argv[0], program=argv[0])
    except subprocess.TimeoutExpired:
        raise Refused("timeout", "%s did not end within %g s" % (argv[0], timeout))
    return done.returncode, done.stdout[-65536:].decode("utf-8", "backslashreplace")


def must(argv: Sequence[str], **how: Any) -> str:
    """Run `argv`; refuse with its last lines if it fails."""
    code, out = run(argv, **how)
    if code != 0:
        words = " ".join(argv)
        raise Refused(
            "command-failed",
            "`%s` exited %d: %s" % (words[:300], code, tail(out, 6)),
            code=code,
            output=last_lines(out, 40),
        )
    return out


def last_lines(text: str, count: int) -> List[str]:
    return [line for line in text.splitlines() if line.strip()][-count:]


def tail(text: str, count: int) -> str:
    return " | ".join(last_lines(text, count)) or "no output"
