"""What this machine must be and have before hosts can run on it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lab.commands import run

TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "ssh-keygen": "openssh-client",
}
# 19 hosts use up the kernel's defaults.
LIMITS = {
    Path("/proc/sys/fs/inotify/max_user_instances"): 8192,
    Path("/proc/sys/kernel/keys/maxkeys"): 20000,
    Path("/proc/sys/kernel/keys/root_maxkeys"): 100000,
}


def reason_to_skip() -> str | None:
    """Return why this machine cannot run a lab, or None when it can."""
    if sys.platform != "linux":
        return f"the lab needs Linux, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "the lab needs root: it makes network namespaces and boots systemd"
    if not Path("/etc/debian_version").exists():
        return "the lab needs Debian: its hosts are made by mmdebstrap"
    probe = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "t", "/mnt"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        return "the lab needs the right to mount, which this container does not have"
    return None


def prepare() -> None:
    """Install the tools that are missing and raise the kernel's limits. Needs root."""
    packages = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if packages:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], env=env)
        run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages], env=env)
    for path, least in LIMITS.items():
        if path.exists() and int(path.read_text()) < least:
            path.write_text(str(least))
