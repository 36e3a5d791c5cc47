"""What this host is and has: the answer to `hello` and to `steer host check`."""

from __future__ import annotations

import grp
import os
import pwd
import re
import sys
import time

from . import fence
from .place import Place, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional


def hello(place: Place) -> Dict[str, Any]:
    """Return the few facts that every session needs; cheap, no child process."""
    return {
        "python": "%d.%d" % sys.version_info[:2],
        "pythons": pythons(),
        "machine": os.uname().machine,
        "libc": list(libc()),
        "uid": os.getuid(),
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "boot_id": _read("/proc/sys/kernel/random/boot_id").strip(),
        "epoch": fence.stored_epoch(place),
        "systemd": systemd_version(),
        "proxy_group": proxy_group(place),
        "socket_proxyd": socket_proxyd(),
    }


def check(place: Place) -> Dict[str, Any]:
    """Return everything `steer host check` shows."""
    import shutil

    disk = room(place)
    with open("/proc/meminfo", encoding="ascii") as rows:
        memory = {row.split(":")[0]: int(row.split()[1]) * 1024 for row in rows}
    return {
        **hello(place),
        "os": _os_name(),
        "kernel": os.uname().release,
        "hostname": os.uname().nodename,
        "nginx": _version(["nginx", "-v"]),
        "nginx_active": run(["systemctl", "is-active", "--quiet", "nginx.service"])[0] == 0
        if shutil.which("systemctl")
        else False,
        "sudo": shutil.which("sudo") is not None,
        "useradd": shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin") is not None,
        "disk_free": disk["free"],
        "disk_size": disk["size"],
        "inodes_free": disk["inodes"],
        "memory": memory.get("MemTotal", 0),
        "memory_free": memory.get("MemAvailable", 0),
        "time": time.time(),
    }


def room(place: Place) -> Dict[str, int]:
    """Return what the file system of the root has left: bytes, and inodes (-1 if uncounted)."""
    folder = place.root
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    disk = os.statvfs(folder)
    return {
        "free": disk.f_bavail * disk.f_frsize,
        "size": disk.f_blocks * disk.f_frsize,
        "inodes": disk.f_favail if disk.f_files else -1,
    }


def pythons() -> List[str]:
    """Return the CPython minors that are on the PATH, such as ["3.11"]."""
    found = {"%d.%d" % sys.version_info[:2]}
    for folder in ("/usr/bin", "/usr/local/bin"):
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            continue
        found |= {n[6:] for n in names if re.fullmatch(r"python3\.\d+", n)}
    return sorted(found, key=lambda v: [int(part) for part in v.split(".")])


def libc() -> "tuple[str, str]":
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        name, version = "", ""
    return (name, version) if name else ("musl", "1.2")


def systemd_version() -> int:
    """Return systemd's major version without starting it, 0 where it does not run."""
    if not os.path.isdir("/run/systemd/system"):
        return 0
    # Debian's is in a folder named after the machine; asking it would cost a child.
    inner = [name for name in os.listdir("/usr/lib") if "-linux-" in name]
    for part in ("", *inner):
        folder = os.path.join("/usr/lib", part, "systemd")
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            found = re.match(r"libsystemd-(?:shared|core)-(\d+)", name)
            if found:
                return int(found.group(1))
    out = run(["systemctl", "--version"])[1].split()
    return int(out[1]) if len(out) > 1 and out[1].isdigit() else 1


def socket_proxyd() -> Optional[str]:
    for folder in ("/usr/lib/systemd", "/lib/systemd"):
        path = os.path.join(folder, "systemd-socket-proxyd")
        if os.path.exists(path):
            return path
    return None


def proxy_group(place: Place) -> str:
    """Return the group of the proxy's workers, which must reach the apps' sockets."""
    if place.scope == "user" or place.proxy != "nginx":
        return ""
    found = re.search(r"^\s*user\s+(\S+?)(?:\s+(\S+?))?\s*;", _read("/etc/nginx/nginx.conf"), re.M)
    names = [found.group(2) or found.group(1)] if found else []
    for name in [*names, "www-data", "nginx", "http"]:
        try:
            return grp.getgrnam(name).gr_name
        except KeyError:
            continue
    return ""


def _os_name() -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', _read("/etc/os-release"), re.M)
    return found.group(1) if found else os.uname().sysname


def _version(argv: List[str]) -> Optional[str]:
    import shutil

    if shutil.which(argv[0], path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") is None:
        return None
    found = re.search(r"\d+(\.\d+)+", run(argv)[1])
    return found.group(0) if found else "unknown"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
