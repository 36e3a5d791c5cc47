"""The lab keeps its word: hosts apart, real failures, and nothing left behind."""

import json
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import cgroups, seen
from lab.commands import LabError, run, wait_until
from lab.host import Host
from lab.lab import FOLDER, Lab, locked, remove_dead, standing

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def pair(make_lab: Callable[[int], Lab]) -> Iterator[Lab]:
    """Two hosts that these tests may break."""
    lab = make_lab(2)
    yield lab
    lab.down()


def answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=3) as link:
            return link.recv(4) == b"SSH-"
    except OSError:
        return False


def wait_for_answer(host: Host) -> None:
    wait_until(lambda: answers(host.address), f"the answer of {host.name}")


def test_hosts_have_identities_of_their_own(pair: Lab) -> None:
    for file in ("/etc/machine-id", "/etc/hostname"):
        assert len({pair.run(index, ["cat", file]) for index in range(2)}) == 2
    assert len({host.public_key for host in pair.hosts}) == 2


@pytest.mark.parametrize("user", ["root", "deploy"])
def test_the_written_files_reach_every_host(pair: Lab, tmp_path: Path, user: str) -> None:
    files = pair.write_reach(tmp_path, user)
    for host in pair.hosts:
        become = [] if user == "root" else ["sudo", "-n"]
        said = run(["ssh", "-F", str(files.ssh_config), host.name, *become, "id", "-un"])
        assert said == "root\n"
        assert run(["ssh", "-F", str(files.ssh_config), host.name, "hostname"]) == f"{host.name}\n"


def test_a_host_has_no_way_out(pair: Lab) -> None:
    assert "default" not in pair.run(0, ["ip", "route"])
    for tool in ("git", "pip", "uv"):
        with pytest.raises(LabError):
            pair.run(0, ["which", tool])


def test_a_killed_host_is_silent_and_comes_back_with_its_disk(pair: Lab) -> None:
    pair.run(0, ["tee", "/srv/kept"], stdin="kept")
    pair.kill_host(0)
    assert not answers(pair.hosts[0].address)
    with pytest.raises(LabError, match="h1 is down"):
        pair.run(0, ["true"])
    wait_for_answer(pair.hosts[1])
    pair.start_host(0)
    assert pair.run(0, ["cat", "/srv/kept"]) == "kept"


def test_a_reboot_keeps_the_disk_and_forgets_run(pair: Lab) -> None:
    pair.run(0, ["touch", "/run/marked", "/srv/marked"])
    before = pair.hosts[0].leader
    pair.reboot(0)
    assert pair.hosts[0].leader != before
    left = pair.run(0, ["find", "/run", "/srv", "-maxdepth", "1", "-name", "marked"])
    assert left == "/srv/marked\n"


def test_a_cut_cable_loses_packets_while_the_host_runs_on(pair: Lab) -> None:
    pair.cut_cable(1)
    assert not answers(pair.hosts[1].address)
    assert pair.run(1, ["systemctl", "is-system-running"]) == "running\n"
    pair.mend_cable(1)
    wait_for_answer(pair.hosts[1])


def test_a_reload_of_nginx_is_counted_and_a_quiet_one_is_not(pair: Lab) -> None:
    host = pair.hosts[1]
    reloads, processes = seen.nginx_reloads(host), seen.nginx_processes(host)
    assert seen.nginx_processes(host) == processes != frozenset()
    pair.run(1, ["nginx", "-s", "reload"])
    wait_until(lambda: seen.nginx_reloads(host) == reloads + 1, "the reload")
    wait_until(lambda: seen.nginx_processes(host) != processes, "new workers")


def test_a_snapshot_sees_what_is_left_behind_and_nothing_else(pair: Lab) -> None:
    host = pair.hosts[1]
    before = seen.snapshot(host)
    pair.run(1, ["useradd", "--system", "ghost"])
    pair.run(1, ["mkdir", "-p", "/srv/steersman"])
    pair.run(
        1,
        ["tee", "/etc/systemd/system/ghost.service"],
        stdin="[Service]\nExecStart=sleep 60\nUser=ghost\n",
    )
    pair.run(1, ["systemctl", "start", "ghost.service"])
    told = "\n".join(before.changes(seen.snapshot(host)))
    for trace in (
        "file /srv/steersman:",
        "unit ghost.service:",
        "user ghost:",
        "file /etc/shadow:",
    ):
        assert trace in told
    pair.run(1, ["userdel", "--force", "ghost"])
    assert "process sleep 60" in "\n".join(before.changes(seen.snapshot(host)))
    pair.run(1, ["systemctl", "stop", "ghost.service"])
    pair.run(1, ["rm", "-r", "/srv/steersman", "/etc/systemd/system/ghost.service"])
    pair.run(1, ["systemctl", "daemon-reload"])
    assert before.changes(seen.snapshot(host)) == []


def test_a_lab_whose_process_died_is_removed_by_the_next(make_lab: Callable[[int], Lab]) -> None:
    run_id = secrets.token_hex(3)
    source = (
        "import signal; from lab.lab import Lab;"
        f"Lab('{run_id}', 1).up(); print('up', flush=True); signal.pause()"
    )
    tests = str(Path(__file__).parents[1])
    owner = subprocess.Popen([sys.executable, "-c", source], cwd=tests, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"up\n"
        with locked():
            remove_dead()
        assert run_id in [state["run_id"] for state in standing()]
        owner.send_signal(signal.SIGKILL)
    # Another worker's lab that comes up just now removes it too.
    with locked():
        remove_dead()
    assert cgroups.members(f"steersman-lab-{run_id}") == set()
    assert not (FOLDER / run_id).exists()
    assert run_id not in json.dumps(json.loads(run(["ip", "-j", "link"])))
    assert run_id not in run(["ip", "netns"])


def test_a_run_id_that_would_not_fit_an_interface_is_refused() -> None:
    for run_id in ("toolong123", "", "Up", "a/b"):
        with pytest.raises(LabError, match="run id"):
            Lab(run_id)
