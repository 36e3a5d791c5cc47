"""Rollouts while links are cut, controllers die, hosts reboot and clocks leap.

`make test` tries a few of each on the shared hosts; `make test-chaos` goes on: behind every step of
every strategy, and as many cuts as ROUNDS says, on five pairs of hosts side by side.
"""

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path

import pytest

from acceptance.buoy import STRATEGIES, Buoy, read_lines
from acceptance.yard import Yard, behind_cutters, places
from lab.commands import wait_until
from lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(6 * 3600)]

ROUNDS = int(os.environ.get("STEERSMAN_CHAOS", "0"))
SEED = int(os.environ.get("STEERSMAN_SEED", "20261124"))
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
Say = Callable[[str], None]


@pytest.fixture(scope="module")
def yard(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cache: Path
) -> Iterator[Yard]:
    if ROUNDS:
        lab: Lab = request.getfixturevalue("make_lab")(10)
        groups = [lab.hosts[at : at + 2] for at in range(0, 10, 2)]
    else:
        lab = request.getfixturevalue("hosts")
        groups = [lab.hosts]
    with Yard(lab, groups, tmp_path_factory.mktemp("yard"), cache) as made:
        yield made


def steps(strategy: str) -> Iterable[int]:
    """Return the steps to be killed behind: all of them when there is time, else one."""
    return count(0) if ROUNDS else [random.Random(f"{SEED}{strategy}").randrange(1, 36)]


def at(step: int) -> dict[str, str]:
    return {"STEER_FAILPOINT": f"after:{step}" if step else "before:1"}


def test_a_killed_rollout_is_taken_up(yard: Yard, say: Say) -> None:
    def sail(strategy: str) -> None:
        killed = 0
        with yard.buoy(strategy) as buoy:
            for k in steps(strategy):
                where = f"killed behind step {k}"
                code = -signal.SIGKILL
                with yard.trying(buoy, where):
                    buoy.commit()
                    code = buoy.apply(expect=None, env=at(k)).code
                    assert code in (0, -signal.SIGKILL)
                    buoy.apply()
                    buoy.prove(where)
                killed += code != 0
                if code == 0:
                    break
            say(f"{strategy}: killed behind {killed} of its steps, {buoy.requests} requests")
        assert killed, "no kill came before the end"

    yard.each(sail, STRATEGIES)


def test_a_killed_way_back_is_taken_up(yard: Yard, say: Say) -> None:
    def sail(strategy: str) -> None:
        killed = 0
        with yard.buoy(strategy) as buoy:
            for k in steps(strategy):
                where = f"killed behind step {k} of a way back"
                code = -signal.SIGKILL
                with yard.trying(buoy, where):
                    to = buoy.newest
                    buoy.commit()
                    buoy.apply()
                    code = buoy.undo(to, env=at(k)).code
                    assert code in (0, -signal.SIGKILL)
                    assert buoy.undo(to).code == 0
                    buoy.prove(where, buoy.version - 1)
                    # Each way forward or back is one more release.
                    buoy.apply()
                killed += code != 0
                if code == 0:
                    break
            say(f"{strategy} undone: killed behind {killed} steps, {buoy.requests} requests")
        assert killed, "no kill came before the end"

    yard.each(sail, [*STRATEGIES] if ROUNDS else ["RollingUpdate"])


def test_cut_links_lose_nothing(yard: Yard, say: Say) -> None:
    shares = 2 * len(yard.groups) if ROUNDS else 1
    rounds = -(-(ROUNDS or 2) // shares)

    def sail(share: int) -> None:
        dice, again = random.Random(f"{SEED} {share}"), 0
        strategy = [*STRATEGIES][share % 3]
        with yard.buoy(strategy) as buoy, behind_cutters(buoy) as cutters:

            def carried(verb: Callable[[], object]) -> list[int]:
                for cutter in cutters:
                    cutter.cut_after(1 << 60)
                verb()
                return [cutter.carried for cutter in cutters]

            buoy.apply()
            heads = carried(lambda: buoy.steer.run("diff", "app/pier"))
            buoy.commit()
            sizes = carried(buoy.apply)
            for number in range(rounds):
                chosen = places(dice, sizes, heads)
                where = f"share {share}, round {number}: cut after {chosen} of {sizes} bytes"
                with yard.trying(buoy, where):
                    for cutter, place in zip(cutters, chosen, strict=True):
                        cutter.cut_after(place)
                    buoy.commit()
                    ran = buoy.apply(expect=None)
                    for cutter in cutters:
                        # A cut that it did not come to would befall what comes next.
                        cutter.cut_after(1 << 60)
                    assert "Traceback" not in ran.err, ran.said
                    if ran.code != 0:
                        again += 1
                        assert any(host.name in ran.err for host in buoy.hosts), ran.said
                        buoy.apply()
                    buoy.prove(where)
            cuts = sum(cutter.cuts for cutter in cutters)
            say(
                f"{strategy}: {cuts} cuts at random bytes in {rounds} rollouts, {again} applied"
                f" again, {buoy.requests} requests"
            )
            assert cuts >= rounds, "hardly any link was cut"

    yard.each(sail, range(shares))


def test_a_link_cut_at_a_step_is_opened_again(yard: Yard, say: Say) -> None:
    lines = range(1, 60) if ROUNDS else [9]
    shares = len(yard.groups)

    def sail(share: int) -> None:
        tried = 0
        strategy = [*STRATEGIES][share % 4]
        with yard.buoy(strategy) as buoy, behind_cutters(buoy) as cutters:
            buoy.apply()
            for number in lines[share::shares]:
                where = f"cut when {number} lines were said"
                with yard.trying(buoy, where):
                    buoy.commit()
                    with buoy.started("apply", "-v", "-f", buoy.write()) as applying:
                        read_lines(applying, number)
                        for cutter in cutters:
                            cutter.cut_now()
                        said = applying.communicate(timeout=120)
                    assert "Traceback" not in said[1], said
                    if applying.returncode != 0:
                        buoy.apply()
                    buoy.prove(where)
                    tried += 1
            say(f"{strategy}: all links cut at {tried} steps, {buoy.requests} requests")

    yard.each(sail, range(shares))


def test_a_host_that_reboots_meanwhile_is_taken_up(yard: Yard, say: Say) -> None:
    # Steps of the second host, as `apply -v` tells them, from the first folder to the last file.
    phases = ["write", "start", "switch", "watch", "stop"] if ROUNDS else ["start"]

    def sail(phase: str) -> None:
        with yard.buoy("RollingUpdate") as buoy:
            host = buoy.hosts[1]
            where = f"{host.name} rebooted at its step {phase}"
            buoy.commit()
            with buoy.started("apply", "-v", "-f", buoy.write(minReadySeconds=2)) as applying:
                said = until_said(applying, f"{host.name}: pier: {phase}")
                yard.lab.reboot(yard.lab.hosts.index(host))
                applying.communicate(timeout=240)
            assert said, "its turn never came"
            buoy.apply(minReadySeconds=2)
            buoy.prove(where)
        say(where)

    yard.each(sail, phases)


def until_said(applying: "subprocess.Popen[str]", words: str) -> bool:
    """Read on until `words` are said; whether they were."""
    if applying.stdout is None:
        raise AssertionError("its output is not read")
    return any(words in line for line in applying.stdout)


def test_a_host_whose_power_fails_is_taken_up(yard: Yard, say: Say) -> None:
    def sail(number: int) -> None:
        with yard.buoy("RollingUpdate") as buoy:
            index = yard.lab.hosts.index(buoy.hosts[1])
            for lines in range(4 + number, 60, 2 * len(yard.groups)) if ROUNDS else [12]:
                where = f"power lost when {lines} lines were said"
                buoy.commit()
                with buoy.started("apply", "-v", "-f", buoy.write()) as applying:
                    is_over = read_lines(applying, lines) < lines
                    yard.lab.kill_host(index)
                    applying.kill()
                yard.lab.start_host(index)
                wait_until(lambda: is_up(buoy), "what was committed to be back")
                buoy.apply()
                buoy.prove(where)
                if is_over:
                    break
            say(f"power lost up to line {lines}")

    yard.each(sail, range(len(yard.groups)))


def is_up(buoy: Buoy) -> bool:
    """Whether the host serves one of the two releases by itself."""
    try:
        return buoy.serving[1] in (buoy.version - 1, buoy.version)
    except (OSError, ValueError):
        return False


def test_a_storm_of_signals_leaves_whole_steps(yard: Yard, say: Say) -> None:
    def sail(share: int) -> None:
        dice = random.Random(f"{SEED} {share}")
        rounds = 6 if ROUNDS else 1
        with yard.buoy("RollingUpdate") as buoy:
            for _ in range(rounds):
                lines = dice.randrange(1, 40)
                where = f"signals after {lines} lines"
                with yard.trying(buoy, where):
                    buoy.commit()
                    with buoy.started("apply", "-v", "-f", buoy.write()) as applying:
                        read_lines(applying, lines)
                        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                            applying.send_signal(each)
                        applying.communicate(timeout=60)
                    buoy.apply()
                    buoy.prove(where)
            say(f"{rounds} storms of signals, {buoy.requests} requests")

    yard.each(sail, range(len(yard.groups)))


def test_clocks_that_leap_change_nothing(yard: Yard) -> None:
    def sail(_: int) -> None:
        with yard.buoy("RollingUpdate") as buoy:
            for leap in ("+1d", "-1d"):
                buoy.commit()
                env = {
                    "LD_PRELOAD": FAKETIME,
                    "FAKETIME": leap,
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                }
                with buoy.started("apply", "-f", buoy.write(), env=env) as applying:
                    said = applying.communicate(timeout=240)
                assert applying.returncode == 0, said
                buoy.prove(f"the controller's clock at {leap}")
            buoy.commit()
            buoy.apply()
            buoy.prove("the controller's clock is right again")
            buoy.steer.run("rollout", "undo", "app/pier")
            now = buoy.version - 1
            assert buoy.serving == [now] * len(buoy.hosts), "releases are ordered by a clock"
            buoy.apply()

    yard.each(sail, range(1))
