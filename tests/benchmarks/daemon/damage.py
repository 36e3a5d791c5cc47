"""Things done to a host behind a daemon's back, and how each is known to be put right."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.void import Void
from lab.host import Host

WITHIN = 30.0
_APP = "srv/steersman/apps/one"
_UNITS = "etc/systemd/system"
_UNIT = "steersman-one.web.g1@1.service"


@dataclass(frozen=True)
class Damage:
    """`do` damages and returns what tells whether it is put right."""

    name: str
    do: Callable[[Host], Callable[[], bool]]

    def healed_after(self, host: Host) -> float:
        """Damage a host; return the seconds from the damage until it was right again."""
        # Whatever is done by hand takes its time, and counts: it began when the change began.
        is_right = self.do(host)
        began = time.monotonic()
        while not is_right():
            if time.monotonic() - began > WITHIN:
                raise Void(f"{self.name} on {host.name} was not put right within {WITHIN:g} s")
            time.sleep(0.002)
        return time.monotonic() - began


def _file(path: str, change: Callable[[Path], object]) -> Callable[[Host], Callable[[], bool]]:
    def do(host: Host) -> Callable[[], bool]:
        file = host.root / path
        good, mode = file.read_bytes(), file.stat().st_mode
        change(file)
        return lambda: file.exists() and file.read_bytes() == good and file.stat().st_mode == mode

    return do


def _edit(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"# by hand\n")


def _mislead(host: Host) -> Callable[[], bool]:
    link = host.root / _APP / "current"
    good = os.readlink(link)
    other = link.with_name("other")
    other.symlink_to("elsewhere")
    other.rename(link)
    return lambda: os.readlink(link) == good


def _unrelease(host: Host) -> Callable[[], bool]:
    (release,) = (host.root / _APP / "releases").iterdir()
    for path in release.iterdir():
        path.unlink()
    release.rmdir()
    return lambda: (release / "src").is_symlink() and (release / "release.json").is_file()


def _state(host: Host) -> tuple[str, int]:
    rows = host.run(["systemctl", "show", "-p", "ActiveState,MainPID", _UNIT]).splitlines()
    said = dict(row.split("=", 1) for row in rows)
    return said["ActiveState"], int(said["MainPID"])


def _stop(host: Host) -> Callable[[], bool]:
    _, pid = _state(host)
    host.run(["systemctl", "stop", "--no-block", _UNIT])
    return lambda: _state(host)[0] == "active" and _state(host)[1] not in (0, pid)


def _kill(host: Host) -> Callable[[], bool]:
    _, pid = _state(host)
    host.run(["kill", "-9", str(pid)])
    return lambda: _state(host)[0] == "active" and _state(host)[1] not in (0, pid)


DAMAGES = (
    Damage("an edited unit", _file(f"{_UNITS}/steersman-one.web.g1@.service", _edit)),
    Damage("a removed unit", _file(f"{_UNITS}/steersman-one.web.g1@.service", Path.unlink)),
    Damage("an edited site", _file("etc/nginx/conf.d/steersman-one.conf", _edit)),
    Damage("a removed site", _file("etc/nginx/conf.d/steersman-one.conf", Path.unlink)),
    Damage("an edited env file", _file(f"{_APP}/env/1", _edit)),
    Damage("an env file that all may read", _file(f"{_APP}/env/1", lambda f: f.chmod(0o644))),
    Damage("a misled boot link", _mislead),
    Damage("a removed release", _unrelease),
    Damage("a stopped unit", _stop),
    Damage("a killed process", _kill),
)
