"""One host of a lab: its disk, its boots and its end."""

import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import cgroups, starter
from lab.commands import LabError, run, wait_until
from lab.network import NETNS, Network

ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root")
_RUNTIME = Path("/run/systemd/nspawn/propagate")


@dataclass
class Host:
    """A Debian with systemd, sshd and nginx; `number` counts from 1."""

    network: Network
    number: int
    folder: Path
    image: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"h{self.number}"

    @property
    def address(self) -> str:
        return self.network.address(self.number)

    @property
    def namespace(self) -> str:
        """The name of its network namespace, as `ip netns` says it."""
        return self.network.namespace(self.number)

    @property
    def public_key(self) -> str:
        """Its SSH host key: `ssh-ed25519 AAAA…`."""
        key = self.folder / "upper/etc/ssh/ssh_host_ed25519_key.pub"
        return " ".join(key.read_text().split()[:2])

    @property
    def root(self) -> Path:
        """Its files as it sees them, while it runs."""
        return Path(f"/proc/{self.leader}/root")

    @property
    def leader(self) -> int:
        """The machine's pid of the host's own process 1."""
        pid = cgroups.first(f"{self._cgroup}/payload/init.scope")
        if pid is None:
            raise LabError(f"host {self.name} is down; `Lab.start_host` boots it")
        return pid

    @property
    def _cgroup(self) -> str:
        return f"steersman-lab-{self.network.run_id}/{self.name}"

    @property
    def _disk(self) -> Path:
        """Where its disk is mounted, for itself alone."""
        return self.folder / "root"

    @property
    def _machine(self) -> str:
        return f"lab-{self.network.run_id}-{self.name}"

    def create(self, authorized: str) -> None:
        """Lay out its disk: an identity of its own over the shared image."""
        etc = self.folder / "upper/etc"
        (etc / "ssh").mkdir(parents=True)
        (self.folder / "work").mkdir()
        (self.folder / "root").mkdir()
        (etc / "hostname").write_text(f"{self.name}\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
        (etc / "ssh/lab_keys").write_text(authorized)
        make_key(etc / "ssh/ssh_host_ed25519_key", self.name)

    def start(self) -> None:
        """Set it booting; `wait_ready` returns when it has."""
        places = [f"lowerdir={self.image},upperdir={self.folder}/upper,workdir={self.folder}/work"]
        places += [str(self._disk), *map(str, cgroups.folders(self._cgroup))]
        begin = ["unshare", "--mount", "--propagation", "private", sys.executable]
        with (self.folder / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [*begin, starter.__file__, *places, "--", *self._boot()],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _boot(self) -> list[str]:
        """Return the command that boots it from its disk."""
        spawn = ["systemd-nspawn", "-q", "-D", str(self._disk), "--boot"]
        spawn += ["--register=no", "--keep-unit", f"--machine={self._machine}"]
        spawn += [f"--network-namespace-path={NETNS / self.namespace}", "--resolv-conf=off"]
        return [*spawn, "--link-journal=no", "--console=passive"]

    def wait_ready(self, timeout: float = 120) -> None:
        """Return once it answers SSH and every unit of the boot has started."""
        wait_until(self._answers, f"the boot of {self.name} ({self.folder}/console.log)", timeout)
        state = self.run(["systemctl", "is-system-running", "--wait"]).strip()
        if state != "running":
            raise LabError(f"host {self.name} is {state}: {self.run(['systemctl', '--failed'])}")

    def _console(self) -> str:
        """Return the end of what it wrote to its console."""
        return (self.folder / "console.log").read_text(errors="replace")[-2000:]

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise LabError(f"host {self.name} died at its boot: {self._console()}")
        try:
            with socket.create_connection((self.address, 22), timeout=2) as link:
                return link.recv(4) == b"SSH-"
        except OSError:
            return False

    def run(self, argv: Sequence[str], *, stdin: str | None = None, timeout: float = 120) -> str:
        """Return what `argv` printed, run as root inside and not over SSH."""
        enter = ["nsenter", "--target", str(self.leader), "--all", "--wd=/"]
        return run([*enter, "env", "-i", *ENV, *argv], stdin=stdin, timeout=timeout)

    def plug(self) -> None:
        self.network.plug(self.number)

    def unplug(self) -> None:
        self.network.unplug(self.number)

    def shut_down(self) -> None:
        """Let it end by itself, as `systemctl poweroff` and `reboot` do."""
        spawned = cgroups.first(f"{self._cgroup}/supervisor")
        self.run(["systemctl", "--no-block", "poweroff"])
        if spawned is not None:
            try:
                cgroups.wait_for_exit(spawned, timeout=120)
            except LabError as error:
                raise LabError(f"{self.name} does not end: {error}; {self._console()}") from error
        self.kill()

    def kill(self) -> None:
        """End all its processes at once, as a power cut does; safe to repeat."""
        cgroups.kill(self._cgroup)
        if self._process is not None:
            self._process.wait(timeout=60)
            self._process = None
        if (_RUNTIME / self._machine).is_dir():
            shutil.rmtree(_RUNTIME / self._machine)


def make_key(path: Path, comment: str) -> None:
    """Make an ed25519 key pair without a passphrase."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
