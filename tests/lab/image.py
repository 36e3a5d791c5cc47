"""The Debian that every host starts from: made once by mmdebstrap, then shared read-only."""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.commands import run

SUITE = "bookworm"
# What a small real host has, and a broker that the tests which need one start. No git, pip or uv:
# whatever an app needs is shipped to it.
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "libpam-systemd",
    "nginx-light",
    "openssh-server",
    "procps",
    "python3",
    "redis-server",
    "sudo",
    "systemd",
    "systemd-sysv",
)
FILES = {
    "etc/ssh/sshd_config.d/lab.conf": (
        "HostKey /etc/ssh/ssh_host_ed25519_key\n"
        "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/lab_keys\n"
        "PasswordAuthentication no\n"
        "PermitRootLogin prohibit-password\n"
    ),
    "etc/sudoers.d/deploy": "deploy ALL=(ALL) NOPASSWD: ALL\n",
}
# Nothing on a host may start by itself in the middle of a test.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer")


def base_image(cache: Path) -> Path:
    """Return the folder of the base image, making it if this recipe never was made.

    One maker works at a time; the lock is inherited by mmdebstrap, so that it outlives a maker
    killed halfway for as long as what that maker started.
    """
    cache.mkdir(parents=True, exist_ok=True)
    image = cache / _recipe()
    if image.is_dir():
        return image
    with _lock(cache / "lock") as lock:
        if not image.is_dir():
            for leftover in cache.glob("new-*"):
                shutil.rmtree(leftover)
            fresh = cache / f"new-{image.name}"
            _bootstrap(fresh, lock)
            _furnish(fresh)
            fresh.rename(image)
    return image


def _recipe() -> str:
    # This file is the recipe: any change to it makes another image.
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]


@contextmanager
def _lock(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _bootstrap(root: Path, lock: int) -> None:
    argv = ["mmdebstrap", "--quiet", "--mode=root", "--format=directory", "--variant=minbase"]
    argv += [f"--include={','.join(PACKAGES)}", "--dpkgopt=force-unsafe-io"]
    argv += [f"--aptopt={option}" for option in _apt_options()]
    for unread in ("doc", "info", "locale", "man"):
        argv.append(f"--dpkgopt=path-exclude=/usr/share/{unread}/*")
    run([*argv, SUITE, str(root), *_apt_sources()], keep_open=[lock])


def _apt_sources() -> list[str]:
    """Return where this machine's own apt finds this Debian; nothing means Debian's own servers."""
    fields = "$(ORIGIN)|$(CODENAME)|deb $(REPO_URI) $(CODENAME) $(COMPONENT)"
    entries = run(["apt-get", "indextargets", "--format", fields, "Identifier: Packages"])
    sources = []
    for entry in entries.splitlines():
        origin, codename, source = entry.split("|")
        if origin == "Debian" and codename.split("-")[0] == SUITE:
            sources.append(source)
    # Updates alone make no Debian.
    return sources if any(f" {SUITE} " in source for source in sources) else []


def _apt_options() -> list[str]:
    """Return this machine's proxy and freshness settings for apt, which a mirror may need."""
    wanted = re.compile(r"Acquire::(https?::Proxy|Check-Valid-Until|Check-Date)\b.* \".+\";")
    return [line for line in run(["apt-config", "dump"]).splitlines() if wanted.match(line)]


def _furnish(root: Path) -> None:
    for name, text in FILES.items():
        (root / name).write_text(text)
        (root / name).chmod(0o440 if "sudoers" in name else 0o644)
    run(["chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", "deploy"])
    for unit in MASKED:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    run(["chroot", str(root), "systemctl", "disable", "--quiet", "redis-server"])
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for unique in ("etc/machine-id", "etc/hostname", "etc/resolv.conf"):
        (root / unique).unlink(missing_ok=True)
    # At this level nginx writes a line for each reload, which `seen.nginx_reloads` counts.
    conf = root / "etc/nginx/nginx.conf"
    plain = "error_log /var/log/nginx/error.log;"
    conf.write_text(conf.read_text().replace(plain, f"{plain[:-1]} notice;"))
