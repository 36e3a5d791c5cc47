"""Debian packages for a host that runs, fetched over this machine's network: it has none itself."""

from collections.abc import Sequence
from pathlib import Path

from lab import image
from lab.commands import run
from lab.host import Host

_ENV = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "DEBIAN_FRONTEND=noninteractive",
)
_SPACES = ("--mount", "--uts", "--ipc", "--pid")


def install(host: Host, packages: Sequence[str]) -> None:
    """Install `packages` with this machine's own settings for apt, and start none of them."""
    enter = ["nsenter", "--target", str(host.leader), *_SPACES, "--wd=/", "env", "-i", *_ENV]
    options = [word for line in image._apt_options() for word in ("-o", _option(line))]
    (host.root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (host.root / "usr/sbin/policy-rc.d").chmod(0o755)
    names = host.root / "etc/resolv.conf"
    names.write_bytes(Path("/etc/resolv.conf").read_bytes())
    try:
        run([*enter, "apt-get", "-q", *options, "-o", "APT::Update::Error-Mode=any", "update"])
        quiet = ["-q", "-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-unsafe-io"]
        run([*enter, "apt-get", *options, *quiet, "install", *packages])
    finally:
        names.unlink()


def _option(line: str) -> str:
    """Return a line of `apt-config dump` as a word for `-o`."""
    name, _, value = line.rstrip(";").partition(" ")
    return f"{name}={value.strip(chr(34))}"
