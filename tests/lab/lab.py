"""A lab: hosts on a network of their own, and what a test may do to them."""

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lab import cgroups, machine, reach
from lab.commands import LabError, write_whole
from lab.host import Host, make_key
from lab.image import base_image
from lab.network import Network, free_subnet

FOLDER = Path(os.environ.get("STEERSMAN_LAB_DIR", "/var/tmp/steersman-lab"))
CACHE = Path(os.environ.get("STEERSMAN_LAB_CACHE", "/var/cache/steersman-lab"))
_MOST_HOSTS = 200
_RUN_ID = re.compile(r"[a-z0-9]{1,8}")


class Lab:
    """`count` hosts, which belong to the process that made them or to the folder `keep_for`.

    A lab whose process died is removed by the next `up`, of whatever lab; one kept for a folder
    stays until it is taken down or the machine boots again.
    """

    def __init__(
        self,
        run_id: str | None = None,
        count: int = 3,
        *,
        keep_for: Path | None = None,
        kind: type[Host] = Host,
    ) -> None:
        self.run_id = run_id if run_id is not None else secrets.token_hex(3)
        if not _RUN_ID.fullmatch(self.run_id):
            raise LabError(f"run id {self.run_id!r}: use 1 to 8 lower-case letters and digits")
        if not 0 < count <= _MOST_HOSTS:
            raise LabError(f"{count} hosts: a lab has 1 to {_MOST_HOSTS}")
        self.count = count
        self.keep_for = keep_for
        self._kind = kind
        self.folder = FOLDER / self.run_id
        self.hosts: list[Host] = []

    @property
    def key(self) -> Path:
        """The private key that root and deploy of every host accept."""
        return self.folder / "id_ed25519"

    def __enter__(self) -> "Lab":
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Boot all hosts and return when all are ready; what a failed start left is removed."""
        machine.prepare()
        image = base_image(CACHE)
        try:
            with locked():
                remove_dead()
                network = self._claim()
            make_key(self.key, f"steersman-lab-{self.run_id}")
            authorized = self.key.with_suffix(".pub").read_text()
            for number in range(1, self.count + 1):
                host = self._kind(network, number, self.folder / f"h{number}", image)
                host.create(authorized)
                self.hosts.append(host)
            for host in self.hosts:
                host.start()
            for host in self.hosts:
                host.wait_ready()
        except BaseException:
            self.down()
            raise

    def _claim(self) -> Network:
        if self.folder.exists():
            raise LabError(f"lab {self.run_id} exists in {self.folder}; take it down first")
        network = Network(self.run_id, free_subnet())
        self.folder.mkdir(mode=0o700)
        kept = str(self.keep_for.absolute()) if self.keep_for is not None else None
        state: dict[str, Any] = {
            "run_id": self.run_id,
            "boot": _boot_id(),
            "subnet": network.subnet,
        }
        state |= {"kept_for": kept, "owner": _this_process()}
        write_whole(self.folder / "lab.json", json.dumps(state))
        cgroups.make(f"steersman-lab-{self.run_id}")
        network.up(self.count)
        return network

    def down(self) -> None:
        """Remove every trace of the lab from this machine; safe to repeat."""
        cgroups.kill(f"steersman-lab-{self.run_id}")
        for host in self.hosts:
            host.kill()
        self.hosts.clear()
        erase(self.run_id)

    def run(self, index: int, argv: Sequence[str], *, stdin: str | None = None) -> str:
        """Return what `argv` printed, run as root inside `hosts[index]` and not over SSH."""
        return self.hosts[index].run(argv, stdin=stdin)

    def kill_host(self, index: int) -> None:
        """Cut its power: peers get no goodbye, and only silence from then on."""
        self.cut_cable(index)
        self.hosts[index].kill()

    def start_host(self, index: int) -> None:
        """Boot it from the disk it had, on a sound cable, and wait until it is ready."""
        self.mend_cable(index)
        self.hosts[index].start()
        self.hosts[index].wait_ready()

    def reboot(self, index: int) -> None:
        """Shut it down in good order and boot it again."""
        self.hosts[index].shut_down()
        self.start_host(index)

    def cut_cable(self, index: int) -> None:
        """Take it off the network; it runs on and packets are lost."""
        self.hosts[index].unplug()

    def mend_cable(self, index: int) -> None:
        self.hosts[index].plug()

    def write_reach(self, folder: Path, user: str = "root") -> reach.Files:
        """Write Host manifests, ssh_config and known_hosts for these hosts into `folder`."""
        return reach.write(self.hosts, self.key, folder, user)


def standing() -> list[dict[str, Any]]:
    """Return what each lab on this machine wrote down about itself."""
    found = []
    for path in sorted(FOLDER.glob("*/lab.json")):
        with suppress(FileNotFoundError):  # taken down while we look
            found.append(json.loads(path.read_text()))
    return found


def kept_for(folder: Path) -> list[str]:
    """Return the run ids of the labs that were made to stay for `folder`."""
    wanted = str(folder.absolute())
    return [state["run_id"] for state in standing() if state.get("kept_for") == wanted]


def remove_dead() -> None:
    """Remove the labs whose process is gone, and those from before a reboot; to be `locked`."""
    for state in standing():
        wanted = state.get("kept_for") is not None or _lives(state["owner"])
        if state["boot"] != _boot_id() or not wanted:
            erase(state["run_id"])


def erase(run_id: str) -> None:
    """Remove whatever exists of a lab, from its name alone; safe to repeat."""
    folder = FOLDER / run_id
    cgroups.kill(f"steersman-lab-{run_id}")
    Network(run_id, "10.0.0.0/24").down()
    for runtime in Path("/run/systemd/nspawn/propagate").glob(f"lab-{run_id}-h*"):
        shutil.rmtree(runtime)
    if folder.is_dir():
        # lab.json goes last: until then another `up` can still find what is left.
        for each in sorted(folder.iterdir(), key=lambda path: path.name == "lab.json"):
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        folder.rmdir()


@contextmanager
def locked() -> Iterator[None]:
    """Be the only one on this machine who makes a lab or removes dead ones."""
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _this_process() -> dict[str, int]:
    return {"pid": os.getpid(), "started": cgroups.start_time(os.getpid())}


def _lives(owner: dict[str, int]) -> bool:
    try:
        # A pid may be used again.
        return cgroups.start_time(owner["pid"]) == owner["started"]
    except (FileNotFoundError, ProcessLookupError):
        return False
