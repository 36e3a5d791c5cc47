"""What is on a host whichever release it runs: compared after a fault and without one."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator

from lab import seen
from lab.host import Host

# What differs between two releases, in the names of files and units.
_RELEASE = re.compile(r"\d+-[0-9a-f]{12}\b|[0-9a-f]{64}\b|\bg\d+\b|(?<=/env/)\d+")
_FENCE = ("/srv/steersman/epoch", "/srv/steersman/lock")
# The caches of uv and Python remember more than one release.
_CACHES = re.compile(r"/srv/steersman/cache(/.*)?|.*\.pyc")


def end_state(host: Host) -> Counter[str]:
    """Return the host's files, users, units and orphans; what a file holds may name a release."""
    lines = [line for root in seen.ROOTS for line in _outline(host, root)]
    # A target is only there since a boot; what it starts is compared.
    units = seen.units(host).items()
    lines += [f"{unit} {state}" for unit, state in units if not unit.endswith(".target")]
    lines += [f"process {command}" for command in seen.orphans(host)]
    lines += (host.root / "etc/passwd").read_text().splitlines()
    return Counter(_RELEASE.sub("#", line) for line in lines)


def _outline(host: Host, top: str) -> Iterator[str]:
    """Yield each path with its mode, owner and target."""
    base = str(host.root)
    waiting = [base + top]
    while waiting:
        path = waiting.pop()
        name = path[len(base) :]
        if seen.is_restless(name) or name in _FENCE or _CACHES.fullmatch(name):
            continue
        try:
            found = os.lstat(path)
            line = f"{name} {stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid}{_to(path)}"
            entries = os.listdir(path) if stat.S_ISDIR(found.st_mode) else []
        except FileNotFoundError:
            continue
        yield line
        waiting += [f"{path}/{entry}" for entry in entries]


def _to(path: str) -> str:
    return f" -> {os.readlink(path)}" if os.path.islink(path) else ""
