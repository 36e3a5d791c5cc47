"""The laws: deploys, hand-overs, crashes and removals on a real host, judged by what is there.

What a driver says of itself is no evidence: requests are counted by a client of their own, and
files, links and processes are compared with end states written here by hand.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from laws.bench import Bench, processes, token_of
from load.background import Load
from load.tally import Report
from steersman.api.app import App
from steersman.control.converge import Unhealthy
from steersman.control.traffic import traffic_on
from steersman.planning.app import NameTaken
from steersman.transport.errors import HandError

WITHIN = 60.0
MOMENT = 0.1
"""Seconds behind a switch, well above what the hand allows a log's clock (`SLACK`)."""


async def until(what: Callable[[], Awaitable[bool]], within: float = WITHIN) -> float:
    """Wait until `what` holds; return how long that took."""
    began = time.monotonic()
    while not await what():
        assert time.monotonic() - began < within, f"not within {within} s"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


class Loaded:
    """Requests to an app, GET and POST by turns, for as long as the block lasts."""

    def __init__(self, bench: Bench, app: str) -> None:
        self._load = Load([bench.url], host=f"{app}.test", method="MIX", rate=150, connections=8)
        self.report: Report

    async def __aenter__(self) -> Loaded:
        await asyncio.to_thread(self._load.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.report = await asyncio.to_thread(self._load.stop)

    def lost_none(self) -> bool:
        return self.report.failed == 0 and self.report.ok > 50


class HandOverLaws:
    """Subclass it with a fixture `bench`: a Bench on a host of your supervisor and proxy."""

    async def test_a_deploy_serves_and_a_second_finds_nothing_to_do(self, bench: Bench) -> None:
        wanted = bench.wanted("first", 1)
        await bench.deploy(wanted)
        text, headers = await bench.get("first")
        assert text.endswith(f"token {token_of('first')}")
        assert headers["x-revision"] == "1"
        assert (await bench.get("first", "/files/release.txt"))[0] == "release 1\n"
        units = await bench.units("first")
        assert units.pop("web.g1@1.service") == "active"
        assert units.pop("web.g1@2.service") == "active"
        assert all("web.g1" in unit for unit in units)
        assert os.readlink(bench.run / "first/web.sock") == "web-g1.sock"
        assert bench.plan(wanted, await bench.link.observe()) == ()

    async def test_no_value_of_the_environment_stands_outside_the_env_files(
        self, bench: Bench
    ) -> None:
        await bench.deploy(bench.wanted("closed", 1, count=1))
        said = b"secret-of-closed"
        files = [path for path in bench.root.parent.rglob("*") if path.is_file()]
        env = bench.root / "apps/closed/env/1"
        assert [path for path in files if said in path.read_bytes()] == [env]
        assert env.stat().st_mode & 0o777 == 0o600
        assert not [words for words in processes() if said.decode() in words]

    @pytest.mark.parametrize("way", ["socket", "path", "port"])
    async def test_a_switch_loses_no_request(self, bench: Bench, way: str) -> None:
        app = f"switch-{way}"
        count = 1 if way == "path" else 2
        await bench.deploy(bench.wanted(app, 1, way, count))
        async with Loaded(bench, app) as load:
            for number in (2, 3):
                await bench.deploy(bench.wanted(app, number, way, count))
        assert load.lost_none(), load.report
        assert set(load.report.revisions) == {"1", "2", "3"}
        assert (await bench.get(app))[1]["x-revision"] == "3"
        assert (await bench.get(app, "/files/release.txt"))[0] == "release 3\n"
        assert all("web.g3" in unit for unit in await bench.units(app))
        old = [p for top in (bench.root, bench.run) for p in top.rglob(f"*{app}*.g[12]*")]
        assert [path for path in old if path.suffix != ".log"] == []
        assert list((bench.run / app).rglob("web-g[12]*")) == []

    async def test_a_killed_instance_comes_back(self, bench: Bench) -> None:
        await bench.deploy(bench.wanted("heal", 1))
        before = await bench.pids("heal")
        victim = "steersman-heal.web.g1@1.service"
        os.kill(before[victim], signal.SIGKILL)

        async def healed() -> bool:
            now = await bench.pids("heal")
            units = await bench.units("heal")
            return now[victim] not in (0, before[victim]) and set(units.values()) == {"active"}

        await until(healed)
        other = "steersman-heal.web.g1@2.service"
        assert (await bench.pids("heal"))[other] == before[other]
        assert (await bench.get("heal"))[1]["x-revision"] == "1"

    async def test_scaling_keeps_what_runs_and_loses_nothing(self, bench: Bench) -> None:
        await bench.deploy(bench.wanted("scale", 1, count=1))
        first = await bench.pids("scale")
        async with Loaded(bench, "scale") as load:
            await bench.deploy(bench.wanted("scale", 1, count=3))
            three = await bench.pids("scale")
            await bench.deploy(bench.wanted("scale", 1, count=1))
        assert load.lost_none(), load.report
        assert len(three) == 3
        assert first.items() <= three.items()
        assert await bench.pids("scale") == first

    async def test_a_generation_that_dies_never_serves(self, bench: Bench) -> None:
        await bench.deploy(bench.wanted("crash", 1))
        async with Loaded(bench, "crash") as load:
            with pytest.raises(Unhealthy) as refused:
                await bench.deploy(bench.wanted("crash", 2, env={"FAIL": "boot"}))
            await bench.deploy(bench.wanted("crash", 1))
        assert "cannot find my database" in refused.value.logs
        assert load.lost_none(), load.report
        assert set(load.report.revisions) == {"1"}
        assert all("web.g1" in unit for unit in await bench.units("crash"))

    async def test_a_generation_that_answers_badly_never_serves(self, bench: Bench) -> None:
        await bench.deploy(bench.wanted("sick", 1, count=1))
        with pytest.raises(Unhealthy, match="500"):
            await bench.deploy(bench.wanted("sick", 2, count=1, env={"FAIL": "health"}))
        assert (await bench.get("sick"))[1]["x-revision"] == "1"

    async def test_a_command_that_is_not_there_is_told(self, bench: Bench) -> None:
        wanted = bench.wanted("absent", 1, count=1, command="no-such-program $LISTEN_FDS")
        with pytest.raises(Unhealthy, match="no-such-program"):
            await bench.deploy(wanted)
        await bench.remove(wanted.app)

    async def test_a_crash_of_the_controller_costs_nothing(self, bench: Bench) -> None:
        target, other = bench.wanted("again", 1, count=1), bench.wanted("again", 2, count=1)
        await bench.deploy(target)
        most = len(bench.plan(other, await bench.link.observe()))
        async with Loaded(bench, "again") as load:
            # Every place of a plan is tried on the fake host; here some, on the real one.
            for survived in range(1, most + 1, 3):
                target, other = other, target
                planned = bench.plan(target, await bench.link.observe())
                for number, step in enumerate(planned[:survived], 1):
                    await bench.step("again", step, number, len(planned))
                await bench.deploy(target)
                release = str(target.release.spec.number)
                assert (await bench.get("again"))[1]["x-revision"] == release
                assert all(f"web.g{release}" in unit for unit in await bench.units("again"))
        assert load.lost_none(), load.report

    async def test_a_name_of_another_site_is_refused(self, bench: Bench, foreign_name: str) -> None:
        wanted = bench.wanted("thief", 1, count=1, host=foreign_name)
        with pytest.raises(NameTaken, match=foreign_name):
            await bench.deploy(wanted)
        assert await bench.units("thief") == {}

    async def test_answers_are_counted_by_generation(self, bench: Bench) -> None:
        for number, asked, before in ((1, 3, 0), (2, 2, 3)):
            wanted = bench.wanted("counted", number, count=1)
            await bench.deploy(wanted)

            async def is_past(app: App = wanted.app) -> bool:
                # A log's clock cannot tell who answered within a moment of the switch.
                return (await traffic_on(bench.link, app)).age > MOMENT

            await until(is_past)
            for _ in range(asked):
                await bench.get("counted")

            async def are_counted(
                app: App = wanted.app, expected: tuple[int, int, int] = (number, asked, before)
            ) -> bool:
                told = await traffic_on(bench.link, app)
                sides = (told.current, told.old, told.unsure)
                assert [side.errors + side.cut for side in sides] == [0, 0, 0]
                assert told.unsure.requests == 0
                return expected == (told.number, told.current.requests, told.old.requests)

            await until(are_counted)

    async def test_removal_leaves_no_trace(self, bench: Bench) -> None:
        wanted = bench.wanted("gone", 1)
        await bench.deploy(wanted)
        await bench.deploy(bench.wanted("gone", 2))
        assert bench.left_of("gone") != []
        await bench.remove(wanted.app)
        assert bench.left_of("gone") == []

    async def test_logs_are_told_and_followed(self, bench: Bench) -> None:
        await bench.deploy(bench.wanted("wordy", 1, count=1))
        entries = bench.link.link.stream(
            "logs", pattern="steersman-wordy.web.g*", since="", lines=10, follow=True
        )
        first = (await anext(entries)).header
        assert (first["unit"], first["line"]) == (
            "steersman-wordy.web.g1@1.service",
            "release 1 starts",
        )
        assert abs(float(first["t"]) - time.time()) < 60
        await bench.deploy(bench.wanted("wordy", 2, count=1))
        second = (await anext(entries)).header
        assert second["line"] == "release 2 starts"
        await entries.aclose()


class SupervisorOnlyLaws:
    """What Supervisor needs more than systemd: sockets are held by processes that can die."""

    async def test_a_socket_outlives_each_of_its_holders(self, bench: Bench) -> None:
        await bench.deploy(bench.wanted("held", 1, count=1))
        async with Loaded(bench, "held") as load:
            for which in ("0", "1", "0"):
                pid = holder_pid("held", which)
                os.kill(pid, signal.SIGKILL)

                async def is_back(pid: int = pid, which: str = which) -> bool:
                    return holder_pid("held", which) not in (0, pid)

                await until(is_back)
        assert load.lost_none(), load.report
        await bench.deploy(bench.wanted("held", 1, count=2))
        assert len(await bench.pids("held")) == 2

    async def test_a_process_that_ends_by_itself_is_told_with_how(self, bench: Bench) -> None:
        stream = bench.link.link.stream("listen", sources={"lines": {}})
        heard: list[dict[str, Any]] = []

        async def hear() -> bool:
            heard.extend(json.loads((await anext(stream)).body))
            return any("exit" in each for each in heard)

        listening = asyncio.create_task(hear())
        await bench.deploy(bench.wanted("wreck", 1, count=1))
        assert not await listening, "its first line has come, and it runs"
        (pid,) = (await bench.pids("wreck")).values()
        os.kill(pid, signal.SIGSEGV)
        async with asyncio.timeout(WITHIN):
            while not await hear():
                continue
        await stream.aclose()
        (exited,) = [each["exit"] for each in heard if "exit" in each]
        assert exited["unit"] == "steersman-wreck.web.g1@1.service"
        assert (exited["signal"], exited["count"]) == ("SIGSEGV", 1)

    async def test_a_boot_brings_back_what_was_committed(self, bench: Bench) -> None:
        from steersman.hand.supervisor_rpc import call

        await bench.deploy(bench.wanted("boot", 1, count=1))
        for left in (bench.run / "boot").iterdir():
            if left.is_symlink():
                left.unlink()
        call(str(bench.root / "supervisor.sock"), "restart")

        async def serves() -> bool:
            try:
                return set((await bench.units("boot")).values()) == {"active"}
            except HandError:
                return False  # supervisord is on its way

        await until(serves)
        assert (await bench.get("boot"))[1]["x-revision"] == "1"


def holder_pid(app: str, which: str) -> int:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", pid, "cmdline").read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "hold" in words and words[-2:] == [which, ""] and f"steersman-{app}." in words[-3]:
            return int(pid)
    return 0
