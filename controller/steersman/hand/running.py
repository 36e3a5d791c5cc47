"""What a process truly runs, whatever the files beside it say by now: read from /proc."""

from __future__ import annotations

import os
import re

from .place import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Tuple

_INSTANCE = re.compile(r"steersman-([a-z0-9-]+)\.([a-z0-9-]+)\.g(\d+)@\d+\.service")
# drivers/unitfile.py writes NAME="value" with these escaped.
_LINE = re.compile(rb'([^=]+)="(.*)"')
_ESCAPED = re.compile(rb'\\([\\"$`])')


def runs(place: Place, unit: str, pid: int) -> str:
    """Return the number of the release that an instance's main process was started with.

    A `!` behind it says that variables of that release's env files have other values in the
    process. Empty where nothing is known: no process, another user's, or one that has just ended.
    """
    found = _INSTANCE.fullmatch(unit)
    if found is None or pid <= 0:
        return ""
    app, process, number = found.groups()
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            env = dict(_assignments(file.read()))
        said = env.get(b"STEER_RELEASE", b"").decode("ascii", "replace")
        # Between fork and exec it still has its parent's; some servers overwrite theirs.
        if not said.isdigit() or env.get(b"STEER_APP", b"").decode("ascii", "replace") != app:
            return ""
        wanted = _wanted(place, app, process, number)
    except OSError:
        return ""
    is_same = all(env.get(name) == value for name, value in wanted.items())
    return said if is_same else said + "!"


def _assignments(raw: bytes) -> "Iterator[Tuple[bytes, bytes]]":
    for part in raw.split(b"\0"):
        name, equals, value = part.partition(b"=")
        if equals:
            yield name, value


def _wanted(place: Place, app: str, process: str, number: str) -> "Dict[bytes, bytes]":
    wanted: Dict[bytes, bytes] = {}
    for name in (number, "%s.%s" % (number, process)):
        path = place.app(app, "env", name)
        if os.path.exists(path):
            with open(path, "rb") as file:
                for line in file.read().splitlines():
                    found = _LINE.fullmatch(line)
                    if found is not None:
                        wanted[found[1]] = _ESCAPED.sub(rb"\1", found[2])
    return wanted
