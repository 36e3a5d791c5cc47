"""The tools that are compared: how each is run at its best, and what it says that it changed."""

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.void import Void
from lab.commands import run
from lab.host import Host
from lab.reach import Files

HERE = Path(__file__).parent / "rivals"
RIVALS = ("ansible-core", "pyinfra")
BIN = Path(sys.executable).parent


class Tool(Protocol):
    """Something that brings all hosts to the wanted state."""

    version: str

    @property
    def name(self) -> str: ...
    @property
    def argv(self) -> Sequence[str]: ...
    @property
    def env(self) -> Mapping[str, str]: ...
    def changes(self, output: str) -> int:
        """Return how many changes a run reports; raises `Void` for an output it does not know."""

    def forget(self) -> None:
        """Leave nothing that would make the next run a warm one."""


@dataclass
class Steersman:
    manifests: Path
    hosts: int
    home: Path
    name: str = "steersman"
    version: str = field(init=False)

    def __post_init__(self) -> None:
        self.version = version_of(BIN, self.name)

    @property
    def argv(self) -> Sequence[str]:
        return [str(BIN / "steer"), "apply", "-f", str(self.manifests)]

    @property
    def env(self) -> Mapping[str, str]:
        return {"STEER_STATE_DIR": str(self.home / "state"), "XDG_CACHE_HOME": str(self.home)}

    def changes(self, output: str) -> int:
        """Every app says how it fared on every host, in a line."""
        fates = re.findall(r"^h\d+: \S+ (.+)$", output, re.MULTILINE)
        if len(fates) != self.hosts * output.count("nothing to do") or not fates:
            raise Void(f"steersman said something else than expected:\n{output}")
        return len([fate for fate in fates if fate != "unchanged"])

    def forget(self) -> None:
        """Links go with the process."""


@dataclass
class Ansible:
    """Pipelining, no facts, a fork for each host, one kept ssh for each host while it runs."""

    wanted: Path
    reach: Files
    hosts: Sequence[Host]
    home: Path
    bin: Path
    name: str = "ansible-core"
    version: str = field(init=False)

    def __post_init__(self) -> None:
        self.version = version_of(self.bin, self.name)
        self.home.mkdir()
        (self.home / "hosts").write_text("".join(f"{host.name}\n" for host in self.hosts))
        (self.home / "ansible.cfg").write_text("[defaults]\n")
        self._masters.mkdir()

    @property
    def _masters(self) -> Path:
        return self.home / "ssh"

    @property
    def argv(self) -> Sequence[str]:
        tool = [str(self.bin / "ansible-playbook"), "-i", str(self.home / "hosts")]
        return [*tool, "-e", f"@{self.wanted}", str(HERE / "playbook.yml")]

    @property
    def env(self) -> Mapping[str, str]:
        keep = "-o ControlMaster=auto -o ControlPersist=60s"
        return {
            "ANSIBLE_CONFIG": str(self.home / "ansible.cfg"),
            "ANSIBLE_DISPLAY_OK_HOSTS": "0",
            "ANSIBLE_FORKS": str(len(self.hosts)),
            "ANSIBLE_GATHERING": "explicit",
            "ANSIBLE_HOME": str(self.home),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
            "ANSIBLE_SSH_ARGS": f"-F {self.reach.ssh_config} {keep}",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._masters),
            "ANSIBLE_SSH_USETTY": "0",
            # "free" and fewer forks made no difference beyond the noise.
            "ANSIBLE_STRATEGY": "linear",
        }

    def changes(self, output: str) -> int:
        rows = re.findall(r"^h\d+ +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)
        if len(rows) != len(self.hosts):
            raise Void(f"ansible said something else than expected:\n{output}")
        return sum(map(int, rows))

    def forget(self) -> None:
        """End the kept connections, as steersman's and pyinfra's end with their runs."""
        for master in self._masters.iterdir():
            run(["ssh", "-o", f"ControlPath={master}", "-O", "exit", "any"])


@dataclass
class Pyinfra:
    """All hosts at once, each going on without waiting for the others, and no first dry pass.

    `is_tuned` asks by hand, once, for what pyinfra's own operations ask dearly (see deploy.py).
    """

    wanted: Path
    reach: Files
    hosts: Sequence[Host]
    key: Path
    home: Path
    bin: Path
    is_tuned: bool = False
    version: str = field(init=False)

    @property
    def name(self) -> str:
        return "pyinfra tuned" if self.is_tuned else "pyinfra"

    def __post_init__(self) -> None:
        self.version = version_of(self.bin, "pyinfra")
        self.home.mkdir()
        (self.home / "ssh_config").touch()
        common = {
            "ssh_user": "root",
            "ssh_key": str(self.key),
            "ssh_known_hosts_file": str(self.reach.known_hosts),
            "ssh_strict_host_key_checking": "yes",
            "ssh_config_file": str(self.home / "ssh_config"),
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
        }
        hosts = [(host.name, {"ssh_hostname": host.address} | common) for host in self.hosts]
        (self.home / "inventory.py").write_text(f"hosts = {hosts!r}\n")

    @property
    def argv(self) -> Sequence[str]:
        tool = [str(self.bin / "pyinfra"), "--yes", "--no-wait", "--json"]
        tool += ["--parallel", str(len(self.hosts))]
        return [*tool, str(self.home / "inventory.py"), str(HERE / "deploy.py")]

    @property
    def env(self) -> Mapping[str, str]:
        tuned = "1" if self.is_tuned else "0"
        return {"BENCH_WANTED": str(self.wanted), "BENCH_TUNED": tuned, "NO_COLOR": "1"}

    def changes(self, output: str) -> int:
        try:
            results = json.loads(output)["results"]
        except (ValueError, KeyError) as error:
            raise Void(f"pyinfra said something else than expected:\n{output}") from error
        totals, failed = results["totals"], results["failed_hosts"]
        if failed or totals["error"] or totals["no_change"] < len(self.hosts):
            raise Void(f"pyinfra failed: {totals}, {failed}")
        return int(totals["success"])

    def forget(self) -> None:
        """Links go with the process."""


def rivals_bin(folder: Path, packages: Sequence[str] = RIVALS) -> Path:
    """Install the rivals' newest releases into a venv of their own; return its bin."""
    if not (folder / "bin/pip").exists():
        venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin/pip"), "install", "--quiet", "--upgrade", *packages]
    done = subprocess.run(pip, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Void(f"could not install {' and '.join(packages)}: {done.stderr[-2000:]}")
    return folder / "bin"


def version_of(bin_: Path, package: str) -> str:
    """Return what version of `package` is installed beside that bin's Python."""
    code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    return run([str(bin_ / "python"), "-c", code, package]).strip()


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a run: this one's, without what would configure a rival."""
    foreign = ("ANSIBLE_", "PYINFRA_", "STEER_")
    own = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return {**own, **env}
