"""Rollouts over several hosts: each strategy, what people ask meanwhile, and two at once."""

import json
import re
from collections.abc import Callable, Iterator

import pytest

from acceptance.pier import BROKEN, CANARY, FAULTY, MUTE, PICKY, SITE, Pier
from acceptance.steer import Steer, changes
from acceptance.web import serves
from lab import seen
from lab.commands import wait_until
from lab.host import Host
from lab.lab import Lab

pytestmark = pytest.mark.lab


@pytest.fixture
def broken_h3(hosts: Lab) -> Iterator[Host]:
    host = hosts.hosts[2]
    host.run(["touch", BROKEN])
    yield host
    host.run(["rm", "-f", BROKEN])


def test_a_canary_waits_for_a_person_and_loses_no_request(pier: Pier) -> None:
    old = pier.version
    with pier.load() as load:
        paused = pier.release(**CANARY)
        assert "release 2 on 1 of 3 hosts, paused at step 2 of 2" in paused.out, paused.said
        assert pier.serving == [old + 1, old, old]
        shown = json.loads(pier.steer.run("get", "generations", "pier", "-o", "json").out)["items"]
        found = [
            (one["spec"]["host"], one["spec"]["release"], one["spec"]["state"]) for one in shown
        ]
        assert sorted(found) == [("h1", 2, "serving"), ("h2", 1, "serving"), ("h3", 1, "serving")]
        again = pier.apply(**CANARY)
        assert "paused at step 2 of 2" in again.out and "step " not in again.err, again.said
        assert "paused at step 2" in pier.rollout("status", "app/pier", expect=1).err
        pier.rollout("promote", "app/pier")
    assert pier.serving == [old + 1] * 3
    assert load.report.failed == 0, load.report.examples
    assert "successfully rolled out" in pier.rollout("status", "app/pier").out


def test_an_abort_brings_the_canary_back(pier: Pier) -> None:
    old = pier.version
    pier.release(**CANARY)
    with pier.load() as load:
        assert "app/pier aborted" in pier.rollout("abort", "app/pier").out
    assert pier.serving == [old] * 3
    assert load.report.failed == 0, load.report.examples
    refused = pier.apply(expect=1, **CANARY)
    assert re.search(r"release \d+ was aborted before and is not tried again", refused.err)
    assert pier.rollout("abort", "app/pier", expect=1).err.count("no rollout under way") == 1


def test_a_canary_that_errs_more_than_the_old_is_taken_back(pier: Pier) -> None:
    steps, before = [{"hosts": 1}, {"pause": {"duration": "2m"}}], pier.serving
    assert len({*before}) == 1
    with pier.load():
        ran = pier.release(code=FAULTY, expect=1, strategy="Canary", canary={"steps": steps})
    assert re.search(r"h1: \d+ of the canary's \d+ answers were errors", ran.err), ran.said
    assert pier.serving == before


def test_nothing_switches_until_every_host_has_booted(pier: Pier, broken_h3: Host) -> None:
    pier.release()
    old, before = pier.version, [seen.snapshot(host) for host in pier.hosts]
    ran = pier.release(code=PICKY, expect=1, strategy="BlueGreen")
    assert "pier on h3: web: GET /healthz answered 500" in ran.err, ran.said
    assert pier.serving == [old] * 3
    for host, was in zip(pier.hosts, before, strict=True):
        left = changes(was, host)
        assert [line for line in left if " /srv/steersman/cache/" not in line] == []
    broken_h3.run(["rm", BROKEN])
    with pier.load() as load:
        pier.release(code=PICKY, strategy="BlueGreen")
    assert pier.serving == [pier.version] * 3
    assert load.report.failed == 0, load.report.examples


def test_recreate_never_runs_two_releases(pier: Pier) -> None:
    pier.commit()
    file = pier.write(strategy="Recreate")
    steps = pier.steer.run("apply", "-v", "-f", file).out.splitlines()
    stops = [at for at, line in enumerate(steps) if re.search(r": stop .*web\.g\d+@", line)]
    starts = [at for at, line in enumerate(steps) if re.search(r": start .*web\.g\d+@", line)]
    assert len(stops) >= 3 and len(starts) >= 3, steps
    assert max(stops) < min(starts)
    assert pier.serving == [pier.version] * 3


def test_some_hosts_may_fail(pier: Pier, broken_h3: Host) -> None:
    old = pier.version
    ran = pier.release(code=PICKY, expect=1, maxFailures=1)
    assert pier.serving == [old + 1, old + 1, old], ran.said
    assert "not as wanted on h3" in ran.err or "pier on h3" in ran.err, ran.said
    broken_h3.run(["rm", BROKEN])
    pier.apply(maxFailures=1)
    assert pier.serving == [old + 1] * 3


def test_without_auto_rollback_moved_hosts_stay(pier: Pier, broken_h3: Host) -> None:
    old = pier.version
    pier.release(code=PICKY, expect=1, autoRollback=False)
    assert pier.serving == [old + 1, old + 1, old]
    pier.apply(expect=1, autoRollback=False)
    assert pier.serving == [old + 1, old + 1, old]
    broken_h3.run(["rm", BROKEN])
    pier.release()


def test_a_paused_app_goes_no_further(pier: Pier) -> None:
    old = pier.version
    pier.rollout("pause", "app/pier")
    ran = pier.release()
    assert "on 0 of 3 hosts, paused" in ran.out, ran.said
    assert pier.serving == [old] * 3
    pier.rollout("resume", "app/pier")
    assert pier.serving == [old + 1] * 3


def test_a_newer_commit_cancels_a_rollout_that_hangs(pier: Pier) -> None:
    pier.commit(MUTE)
    gated = pier.next_unit()
    file = pier.write()
    with pier.load() as load, pier.started("apply", "-v", "-f", file) as hanging:
        wait_until(lambda: gated in seen.units(pier.hosts[0]), "the start of the new generation")
        mended = pier.release()
        _, complaint = hanging.communicate(timeout=60)
    assert hanging.returncode == 1 and "was cancelled" in complaint, complaint
    assert pier.serving == [pier.version] * 3, mended.said
    assert load.report.failed == 0, load.report.examples
    assert gated not in seen.units(pier.hosts[0])


def test_another_steer_is_waited_for_by_name(pier: Pier) -> None:
    pier.commit(MUTE)
    gated = pier.next_unit()
    file = pier.write()
    with pier.started("apply", "-v", "-f", file) as hanging:
        wait_until(lambda: gated in seen.units(pier.hosts[0]), "the start of the new generation")
        late = pier.steer.run("scale", "app/pier", "web=1", "--lock-timeout=1s", expect=1)
        assert f"(pid {hanging.pid}) is working on it" in late.err, late.said
        pier.rollout("abort", "app/pier")
        hanging.communicate(timeout=60)
    assert hanging.returncode == 1
    pier.release()
    assert pier.serving == [pier.version] * 3


def test_two_controllers_end_in_one_winner(pier: Pier, new_steer: Callable[[], Steer]) -> None:
    other = Pier(new_steer(), pier.hosts, pier.repo)
    pier.commit()
    mine = pier.write()
    theirs = pier.manifest()
    theirs["spec"]["config"] = {"env": {"WHOSE": "theirs"}}
    file = other.steer.write("theirs.yaml", *pier.steer.hosts(), theirs)
    with pier.load() as load:
        racing = [pier.started("apply", "-f", mine), other.started("apply", "-f", file)]
        said = [process.communicate(timeout=120) for process in racing]
    assert any(process.returncode == 0 for process in racing), said
    assert load.report.failed == 0, load.report.examples
    currents = {(host.root / "srv/steersman/apps/pier/current").readlink() for host in pier.hosts}
    assert len(currents) == 1, f"a mixed state: {currents}; {said}"
    running = {unit.split("@")[0] for host in pier.hosts for unit in seen.units(host)}
    generations = {unit.split("-hold")[0].removesuffix(".socket") for unit in running}
    assert len([name for name in generations if ".web.g" in name]) == 1, running
    assert all(serves(host, SITE, str(pier.version)) for host in pier.hosts)
