"""Rollouts while links are cut, controllers die, hosts reboot and clocks leap.

`make test` tries a few of each; `make test-chaos` goes on for as long as it was told to.
"""

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest

from acceptance.pier import Pier
from lab import seen
from lab.commands import wait_until
from lab.cutter import Cutter
from lab.lab import Lab
from load.background import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("STEERSMAN_CHAOS", "2"))
SEED = int(os.environ.get("STEERSMAN_SEED", "20261124"))
CANARY = {"canary": {"steps": [{"hosts": 1}, {"pause": {"duration": "1s"}}]}}
STRATEGIES: dict[str, dict[str, Any]] = {
    "RollingUpdate": {},
    "Canary": CANARY,
    "BlueGreen": {},
    "Recreate": {},
}
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


@pytest.fixture
def cutters(pier: Pier) -> Iterator[list[Cutter]]:
    """Reach each host over a relay that can cut."""
    with ExitStack() as stack:
        made = [stack.enter_context(Cutter(host.address)) for host in pier.hosts]
        documents = pier.steer.hosts()
        for document, cutter in zip(documents, made, strict=True):
            document["spec"] |= {"address": "127.0.0.1", "port": cutter.port}
        pier.reached = documents
        yield made
        pier.reached = None


def quietly(load: Load) -> None:
    assert load.report.failed == 0, load.report.examples


def test_cut_links_lose_nothing(
    pier: Pier, cutters: list[Cutter], say: Callable[[str], None]
) -> None:
    dice, again = random.Random(SEED), 0
    for cutter in cutters:
        cutter.cut_after(1 << 60)
    pier.release()
    sizes = [cutter.carried for cutter in cutters]
    with pier.load() as load:
        for number in range(ROUNDS):
            places = [dice.randrange(1, size) for size in sizes]
            for cutter, place in zip(cutters, places, strict=True):
                cutter.cut_after(place)
            pier.commit()
            ran = pier.apply(expect=None)
            assert "Traceback" not in ran.err, ran.said
            if ran.code != 0:
                again += 1
                assert "h1" in ran.err or "h2" in ran.err or "h3" in ran.err, ran.said
                pier.apply()
            pier.prove(f"round {number}, cut after {places} of {sizes} bytes")
    quietly(load)
    cuts = sum(cutter.cuts for cutter in cutters)
    assert cuts >= ROUNDS, "hardly any link was cut"
    say(
        f"links cut at random bytes: {cuts} cuts in {ROUNDS} rollouts, {again} applied again,"
        f" {load.report.ok} requests, {load.report.failed} lost"
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_killed_rollout_is_taken_up(
    pier: Pier, strategy: str, say: Callable[[str], None]
) -> None:
    rollout = {"strategy": strategy, **STRATEGIES[strategy]}
    dice, killed, requests = random.Random(SEED), 0, 0
    # Every step when there is time for all of them, else a few.
    places = count(1) if ROUNDS > 20 else iter(dice.sample(range(1, 36), ROUNDS))
    for k in places:
        pier.commit()
        with pier.load() as load:
            ran = pier.apply(expect=None, env={"STEER_FAILPOINT": f"after:{k}"}, **rollout)
            assert ran.code in (0, -signal.SIGKILL), ran.said
            killed += ran.code != 0
            pier.apply(**rollout)
        requests += load.report.ok
        pier.prove(f"{strategy}, killed after step {k}")
        if strategy != "Recreate":
            quietly(load)
        if ran.code == 0:
            break
    assert killed > 0, "no kill came before the end"
    say(f"{strategy} killed behind {killed} of its steps: {requests} requests")


def test_a_host_that_reboots_meanwhile_is_taken_up(pier: Pier, hosts: Lab) -> None:
    pier.commit()
    unit = pier.next_unit()
    with pier.started("apply", "-v", "-f", pier.write(minReadySeconds=3)) as applying:
        wait_until(lambda: unit in seen.units(pier.hosts[1]), "the second host's turn")
        hosts.reboot(1)
        applying.communicate(timeout=240)
    pier.apply(minReadySeconds=3)
    pier.prove("h2 was rebooted")


def test_a_storm_of_signals_leaves_whole_steps(pier: Pier) -> None:
    dice = random.Random(SEED)
    with pier.load() as load:
        for _ in range(ROUNDS):
            pier.commit()
            lines = dice.randrange(5, 40)
            with pier.started("apply", "-v", "-f", pier.write()) as applying:
                storm(applying, lines)
            pier.apply()
            pier.prove(f"signals after {lines} lines")
    quietly(load)


def storm(applying: "subprocess.Popen[str]", lines: int) -> None:
    """Let it say `lines` lines, then send it signals until it ends."""
    if applying.stdout is None:
        raise AssertionError("its output is not read")
    for _ in range(lines):
        applying.stdout.readline()
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        applying.send_signal(each)
    applying.communicate(timeout=60)


def test_clocks_that_leap_change_nothing(pier: Pier) -> None:
    for leap in ("+1d", "-1d", "+0"):
        env = {"LD_PRELOAD": FAKETIME, "FAKETIME": leap, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        pier.commit()
        pier.apply(env=env)
        pier.prove(f"the controller's clock at {leap}")
    pier.steer.run("rollout", "undo", "app/pier")
    assert pier.serving == [pier.version - 1] * 3, "the order of releases comes from a clock"
    pier.release()
