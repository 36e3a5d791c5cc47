"""A host with a kernel of its own: user-mode Linux, https://docs.kernel.org/virt/uml/.

Namespaces share this machine's kernel, and with it which version of control groups it has. This
one has version 2 with its controllers, as Debian 12 boots, and what a kernel does to processes.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from lab import cgroups
from lab.commands import LabError, run
from lab.host import ENV, Host
from lab.network import CABLE, NETNS

KERNEL = "linux.uml"
MEMORY = "768M"
_UNIT = """\
[Unit]
DefaultDependencies=no
Before=network-pre.target ssh.service
Wants=network-pre.target

[Service]
Type=oneshot
ExecStart=/usr/sbin/ip link set lo up
ExecStart=/usr/sbin/ip addr add {address}/24 dev vec0
ExecStart=/usr/sbin/ip link set vec0 up
"""


def reason_to_skip() -> str | None:
    """Return why this machine cannot run such a kernel, or None when it can."""
    if shutil.which(KERNEL) is None:
        return f"{KERNEL} is not here; Debian's package user-mode-linux has it, for x86-64"
    return None


class OwnKernelHost(Host):
    """A Debian under a kernel of its own, on the same cable and disk as any other host."""

    @property
    def leader(self) -> int:
        """This machine's pid of its kernel."""
        pid = cgroups.first(self._cgroup)
        if pid is None:
            raise LabError(f"host {self.name} is down; `Lab.start_host` boots it")
        return pid

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.leader}/root{self._disk}")

    def create(self, authorized: str) -> None:
        super().create(authorized)
        units = self.folder / "upper/etc/systemd/system"
        (units / "sysinit.target.wants").mkdir(parents=True)
        (units / "lab-network.service").write_text(_UNIT.format(address=self.address))
        (units / "sysinit.target.wants/lab-network.service").symlink_to("../lab-network.service")
        sites = self.folder / "upper/etc/nginx/sites-available"
        sites.mkdir(parents=True)
        # Debian's own asks for IPv6 too, which is a module of this kernel that nobody has.
        (sites / "default").write_text("server { listen 80 default_server; }\n")

    def start(self) -> None:
        # Its own kernel answers for the address now, over the same end of the cable.
        run(["ip", "-n", self.namespace, "addr", "flush", "dev", CABLE])
        super().start()

    def _boot(self) -> list[str]:
        inside = ["nsenter", f"--net={NETNS / self.namespace}", KERNEL]
        disk = ["root=/dev/root", "rootfstype=hostfs", f"rootflags={self._disk}", "rw"]
        link = f"vec0:transport=raw,ifname={CABLE},depth=128,gro=1,mac={self._mac()}"
        return [*inside, f"mem={MEMORY}", *disk, link, "con=null", "con0=null,fd:1"]

    def _mac(self) -> str:
        (link,) = json.loads(run(["ip", "-j", "-n", self.namespace, "link", "show", "dev", CABLE]))
        return str(link["address"])

    def run(self, argv: Sequence[str], *, stdin: str | None = None, timeout: float = 120) -> str:
        """Return what `argv` printed, run as root by SSH: there is no other way in."""
        key = self.folder.parent / "id_ed25519"
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        ssh = ["ssh", "-q", "-i", str(key), *options, f"root@{self.address}"]
        command = shlex.join(["env", "-i", *ENV, *argv])
        return run([*ssh, command], stdin=stdin, timeout=timeout)
