"""What a host looks like, read without touching it: nginx's life, files, users and units."""

import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lab.host import Host

ROOTS = ("/etc", "/run/steersman", "/srv", "/usr/local", "/var/lib")
# Written by Debian and systemd as time goes by, whoever uses the host.
_RESTLESS = re.compile(
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-"
    r"|/etc/\.pwd\.lock"
    r"|/var/lib/(systemd|private|nginx|sudo)(/.*)?"
)
# It comes and goes with the daemons that listen, whatever is deployed (decision 22).
_EAR = "steer-ear"
_UNIT_KINDS = ("*.service", "*.socket", "*.timer", "*.path", "*.target")


@dataclass(frozen=True)
class Snapshot:
    """All that a deploy may leave behind; two are compared with `==` or `changes`."""

    files: Mapping[str, str] = field(repr=False)
    users: frozenset[str]
    units: Mapping[str, str] = field(repr=False)
    orphans: frozenset[str]

    def changes(self, later: "Snapshot") -> list[str]:
        """Return what differs in `later`, one line each, for a test's message."""
        lines = [
            f"{what} {name}: {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
            for what, old, new in (
                ("file", self.files, later.files),
                ("unit", self.units, later.units),
            )
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ]
        lines += [f"user {name} differs" for name in sorted(self.users ^ later.users)]
        return lines + [f"process {name} differs" for name in sorted(self.orphans ^ later.orphans)]


def snapshot(host: Host, roots: Sequence[str] = ROOTS) -> Snapshot:
    """Return what is on the host now."""
    return Snapshot(
        {path: told for root in roots for path, told in files(host, root).items()},
        frozenset((host.root / "etc/passwd").read_text().splitlines()),
        units(host),
        orphans(host),
    )


def files(host: Host, top: str) -> dict[str, str]:
    """Return each path at and below `top` with its kind, mode, owner and content or target."""
    base = str(host.root)
    found: dict[str, str] = {}
    waiting = [base + top]
    while waiting:
        path = waiting.pop()
        name = path[len(base) :]
        if is_restless(name):
            continue
        # It may be gone since its folder was listed: what is written now is written beside it.
        with suppress(FileNotFoundError):
            found[name] = _tell(path)
            if stat.S_ISDIR(os.lstat(path).st_mode):
                waiting += [f"{path}/{entry}" for entry in os.listdir(path)]
    return found


def is_restless(path: str) -> bool:
    """Whether Debian or systemd write there by themselves."""
    return _RESTLESS.fullmatch(path) is not None


def _tell(path: str) -> str:
    seen = os.lstat(path)
    told = f"{stat.filemode(seen.st_mode)} {seen.st_uid}:{seen.st_gid}"
    if stat.S_ISLNK(seen.st_mode):
        return f"{told} -> {os.readlink(path)}"
    if stat.S_ISREG(seen.st_mode):
        return f"{told} {hashlib.sha256(Path(path).read_bytes()).hexdigest()}"
    return told


def units(host: Host) -> dict[str, str]:
    """Return the state of every loaded unit that Debian did not ship."""
    listing = host.run(["systemctl", "show", *_UNIT_KINDS, "-p", "Id,FragmentPath,ActiveState"])
    found = {}
    for block in listing.strip().split("\n\n"):
        seen = dict(line.split("=", 1) for line in block.splitlines())
        if seen["Id"] == f"{_EAR}.service":
            continue
        if seen["FragmentPath"].startswith(("/etc/", "/run/")):
            found[seen["Id"]] = seen["ActiveState"]
    return found


def orphans(host: Host) -> frozenset[str]:
    """Return the command lines of processes whose user is not, or no longer, in /etc/passwd."""
    passwd = (host.root / "etc/passwd").read_text()
    known = {line.split(":")[2] for line in passwd.splitlines()}
    listing = host.run(["ps", "-e", "-o", "uid=,args="])
    rows = [line.split(maxsplit=1) for line in listing.splitlines()]
    return frozenset(
        command for uid, command in rows if uid not in known and f"/run/{_EAR}/" not in command
    )


def nginx_reloads(host: Host) -> int:
    """Return how often nginx has read its configuration again since the host was made."""
    log = host.root / "var/log/nginx/error.log"
    return log.read_text(errors="replace").count(": reconfiguring") if log.exists() else 0


def nginx_processes(host: Host) -> frozenset[str]:
    """Return nginx's processes with their starts: the same set means no reload and no restart."""
    listing = host.run(["ps", "-C", "nginx", "-o", "pid=,lstart=,args="])
    return frozenset(line.strip() for line in listing.splitlines())
