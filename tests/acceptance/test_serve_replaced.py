"""A daemon that ends, in whatever way, and the one that takes its place."""

import time
from collections.abc import Callable, Iterator

import pytest

from acceptance.daemon import Daemon, serving
from acceptance.pier import Pier
from lab import seen
from lab.host import Host
from lab.lab import Lab

pytestmark = pytest.mark.lab

WITHIN = 60.0
SITE_FILE = "etc/nginx/conf.d/steersman-pier.conf"


def until(what: Callable[[], bool], why: Callable[[], str]) -> None:
    deadline = time.monotonic() + WITHIN
    while not what():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)


def pids(host: Host) -> dict[str, str]:
    """Return the main process of each instance on a host."""
    units = [
        unit for unit in seen.units(host) if unit.startswith("steersman-pier") and "@1" in unit
    ]
    return {unit: host.run(["systemctl", "show", "-P", "MainPID", unit]).strip() for unit in units}


@pytest.fixture
def daemon(pier: Pier) -> Iterator[Daemon]:
    with serving(pier.steer) as running:
        yield running


def test_a_daemon_that_is_replaced_under_load_loses_no_request_and_no_event(
    pier: Pier, hosts: Lab, daemon: Daemon
) -> None:
    before = [pids(host) for host in hosts.hosts]
    with pier.load() as load:
        assert daemon.stop() == 0
        # What happens while nobody listens is seen by whoever comes next.
        (hosts.hosts[1].root / SITE_FILE).unlink()
        with serving(pier.steer) as successor:
            until((hosts.hosts[1].root / SITE_FILE).exists, successor.said)
            assert pier.steer.run("get", "apps").out.splitlines()[1].startswith("pier")
    assert [pids(host) for host in hosts.hosts] == before
    assert load.report.failed == 0, load.report
    pier.prove("after another daemon came")


def test_a_rollout_of_a_killed_daemon_is_taken_up_by_the_next(pier: Pier, daemon: Daemon) -> None:
    pier.commit()
    before = len(daemon.events("host_ended"))
    with pier.load() as load:
        applying = pier.started("apply", "-f", pier.write(minReadySeconds=2))
        until(lambda: len(daemon.events("host_ended")) > before, daemon.said)
        daemon.kill()
        _, said = applying.communicate(timeout=60)
        assert applying.returncode == 1
        assert "was lost; what it was doing goes on there" in said
        with serving(pier.steer) as successor:
            until(lambda: pier.serving == [pier.version] * 3, successor.said)
            until(lambda: pier.steer.run("diff", "app/pier", expect=None).code == 0, successor.said)
    assert load.report.failed == 0, load.report
    pier.prove("after a killed daemon")
