"""`steer serve` on real hosts: what drifts comes back, and no app notices the daemon itself."""

import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from acceptance.daemon import Daemon, serving
from acceptance.pier import GOOD, MUTE, SITE, Pier
from acceptance.steer import PULSE, Repo, Steer, app, changes
from acceptance.web import serves
from lab import seen
from lab.commands import CommandFailed
from lab.host import Host
from lab.lab import Lab

pytestmark = pytest.mark.lab

WITHIN = 90.0
UNITS, APP, RUN = "/etc/systemd/system", "/srv/steersman/apps/pier", "/run/steersman/pier"
SITE_FILE = "/etc/nginx/conf.d/steersman-pier.conf"
COVE = "cove.example.com"


def until(what: Callable[[], bool], why: Callable[[], str] = lambda: "not in time") -> None:
    deadline = time.monotonic() + WITHIN
    while not what():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)


class Victim:
    """A host of the pier's, and its one instance."""

    def __init__(self, pier: Pier, host: Host) -> None:
        self.host = host
        self.unit = next(
            u for u in seen.units(host) if u.startswith("steersman-pier.web.g") and "@1" in u
        )
        self.number = self.unit.partition(".g")[2].partition("@")[0]

    def run(self, *argv: str, may_fail: bool = False) -> str:
        try:
            return self.host.run(argv)
        except CommandFailed:
            if not may_fail:
                raise
            return ""

    def stop(self, unit: str) -> None:
        """Stop it; the daemon may be so fast that its start cancels what systemctl waits for."""
        self.run("systemctl", "stop", unit, may_fail=True)

    def kill(self, unit: str) -> None:
        self.run("systemctl", "kill", "-s", "KILL", unit)

    def main_pid(self, unit: str) -> int:
        """Return 0 while it has none."""
        return int(self.run("systemctl", "show", "-P", "MainPID", unit))

    @property
    def pid(self) -> int:
        return self.main_pid(self.unit)

    @property
    def current(self) -> str:
        return self.run("readlink", f"{APP}/current").strip()

    @property
    def environment(self) -> str:
        """What its process was started with; "" while it has none."""
        return self.run("cat", f"/proc/{self.pid}/environ", may_fail=True)

    def has_own_environment(self) -> bool:
        told = self.environment
        return "STEER_RELEASE=" in told and "STATSD_PORT=" in told


def edit(path: str) -> Callable[[Victim], object]:
    return lambda v: append(v, "# by hand", path.format(n=v.number))


def append(victim: Victim, line: str, path: str) -> None:
    """Write into the file itself: what an editor leaves beside it is cleared away."""
    victim.host.run(["tee", "-a", path], stdin=line + "\n")


def remove(path: str) -> Callable[[Victim], object]:
    return lambda v: v.run("rm", "-r", path.format(n=v.number))


def mislead(path: str) -> Callable[[Victim], object]:
    return lambda v: v.run("ln", "-sfn", "elsewhere", path)


def disguise(victim: Victim) -> None:
    """Start the process without one of its variables, and leave no trace of that in any file."""
    folder = f"/run/systemd/system/{victim.unit}.d"
    victim.run("mkdir", folder)
    append(victim, "[Service]\nUnsetEnvironment=STATSD_PORT", f"{folder}/by-hand.conf")
    victim.run("systemctl", "daemon-reload")
    victim.run("systemctl", "restart", victim.unit, may_fail=True)
    victim.run("rm", "-r", folder)
    victim.run("systemctl", "daemon-reload")


DAMAGES: dict[str, Callable[[Victim], object]] = {
    "an edited unit": edit(UNITS + "/steersman-pier.web.g{n}@.service"),
    "an edited target": edit(UNITS + "/steersman-pier.target"),
    "an edited site": edit(SITE_FILE),
    "an edited env file": edit(APP + "/env/{n}"),
    "an env file that all may read": lambda v: v.run("chmod", "644", f"{APP}/env/{v.number}"),
    "a removed unit": remove(UNITS + "/steersman-pier.web.g{n}@.service"),
    "a removed site": remove(SITE_FILE),
    "a removed env file": remove(APP + "/env/{n}"),
    "a removed release": lambda v: v.run("rm", "-r", f"{APP}/{v.current}"),
    "a link that traffic follows": mislead(f"{RUN}/web.sock"),
    "a link that a boot follows": mislead(f"{APP}/current"),
    "a process of another environment": disguise,
    "a site that nginx may not have read": lambda v: v.run("chmod", "600", SITE_FILE),
}
# Which process each of them ends.
ENDINGS: dict[str, tuple[Callable[[Victim, str], None], Callable[[Victim], str]]] = {
    "a stopped unit": (Victim.stop, lambda v: v.unit),
    "a killed process": (Victim.kill, lambda v: v.unit),
    "a stopped nginx": (Victim.stop, lambda _: "nginx"),
    "a killed nginx": (Victim.kill, lambda _: "nginx"),
}


@pytest.fixture(scope="module")
def daemon(pier: Pier) -> Iterator[Daemon]:
    with serving(pier.steer) as running:
        yield running


@pytest.fixture(scope="module")
def served(pier: Pier, daemon: Daemon) -> Pier:
    """The pier, with a daemon that was ready before the first test."""
    return pier


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_changed_by_hand_comes_back(served: Pier, hosts: Lab, damage: str) -> None:
    victim = Victim(served, hosts.hosts[0])
    before, pid = seen.snapshot(victim.host), victim.pid
    DAMAGES[damage](victim)

    def is_back() -> bool:
        return not changes(before, victim.host) and bool(victim.pid)

    until(is_back, lambda: "\n".join(changes(before, victim.host)))
    until(lambda: serves(victim.host, SITE, str(served.version)))
    if damage == "a process of another environment":
        until(victim.has_own_environment, lambda: victim.environment)
    else:
        assert victim.pid == pid, "the app was started anew for a file"


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_ended_by_hand_is_started_again(served: Pier, hosts: Lab, ending: str) -> None:
    victim = Victim(served, hosts.hosts[0])
    end, which = ENDINGS[ending]
    unit = which(victim)
    before, pid = seen.snapshot(victim.host), victim.main_pid(unit)
    end(victim, unit)

    until(lambda: victim.main_pid(unit) not in (0, pid))
    until(
        lambda: not changes(before, victim.host),
        lambda: "\n".join(changes(before, victim.host)),
    )
    until(lambda: serves(victim.host, SITE, str(served.version)))


def test_what_was_healed_is_told(served: Pier, hosts: Lab) -> None:
    hosts.hosts[1].run(["sed", "-i", "$ a # by hand", f"{UNITS}/steersman-pier.target"])

    def told() -> str:
        return served.steer.run("get", "events").out

    wanted = f"write {UNITS}/steersman-pier.target (its content differs)"
    until(lambda: any("Healed" in row and wanted in row for row in told().splitlines()), told)


def test_without_self_heal_drift_is_only_reported(served: Pier, hosts: Lab) -> None:
    host = hosts.hosts[1]
    served.steer.run("annotate", "app/pier", "steersman/self-heal=off")
    host.run(["sed", "-i", "$ a # by hand", SITE_FILE])

    def condition() -> dict[str, str]:
        app = yaml.safe_load(served.steer.run("get", "app/pier", "-o", "yaml").out)
        found = [c for c in app["status"]["conditions"] if c["type"] == "Synced"]
        return found[0] if found else {}

    until(lambda: condition().get("status") == "False")
    assert (
        f"h2: test and install site {SITE_FILE} (it is not what its routes ask for)"
        in condition()["message"]
    )
    assert "by hand" in (host.root / SITE_FILE[1:]).read_text()
    served.steer.run("annotate", "app/pier", "steersman/self-heal-")
    until(lambda: "by hand" not in (host.root / SITE_FILE[1:]).read_text())


def test_a_host_that_was_away_is_made_right_when_it_is_back(
    served: Pier, daemon: Daemon, hosts: Lab
) -> None:
    host = hosts.hosts[2]

    def ready() -> str:
        row = served.steer.run("get", "host", "h3", "-o", "jsonpath={.status.conditions[0].status}")
        return row.out.strip()

    hosts.cut_cable(2)
    until(lambda: ready() == "False", daemon.said)
    host.run(["rm", SITE_FILE])
    hosts.mend_cable(2)
    until(lambda: (host.root / SITE_FILE[1:]).exists())
    until(lambda: ready() == "True", daemon.said)


def test_another_steer_works_beside_the_daemon(served: Pier) -> None:
    assert f"release {served.version + 1} on 3 hosts" in served.release().out
    served.prove("beside a daemon")


def test_there_is_one_daemon_for_a_state(served: Pier) -> None:
    second = served.steer.run("serve", expect=1)
    assert "a daemon serves" in second.err
    assert "name another folder with --state-dir" in second.err


def test_a_save_in_the_source_folder_of_a_followed_app_is_deployed(
    hosts: Lab, steer: Steer, tmp_path: Path
) -> None:
    host, source = hosts.hosts[0], tmp_path / "cove"
    shutil.copytree(PULSE, source, ignore=shutil.ignore_patterns("__pycache__"))
    # One that hangs takes all of its time to stop.
    web = {"command": "gunicorn app:app", "port": "http", "stop": {"timeout": "3s"}}
    unused = Repo(tmp_path / "unused", {})
    cove = app("cove", unused, source={"path": str(source)}, processes={"web": web})
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "cove.yaml").write_text(yaml.safe_dump_all([*steer.hosts(host), cove]))

    with serving(steer, "-f", str(manifests)) as running:
        for revision in ("1", "2"):
            (source / "VERSION").write_text(f"{revision}\n")
            until(partial(serves, host, COVE, revision), running.said)
        # One that never gets healthy is not waited for when its author has saved again.
        (source / "app.py").write_text(MUTE)
        until(lambda: "steersman-cove.web.g3@1.service" in seen.units(host), running.said)
        (source / "VERSION").write_text("3\n")
        (source / "app.py").write_text(GOOD)
        until(lambda: serves(host, COVE, "3"), running.said)
        until(lambda: steer.run("diff", "app/cove", expect=None).code == 0, running.said)
    steer.run("delete", "app/cove")
