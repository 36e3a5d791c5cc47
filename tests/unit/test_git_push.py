"""git push with the real git over real SSH: gates, turns, refs, and who may do what."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from git_lab import Lab, opened
from steersman.api.errors import SteersmanError
from steersman.server.git.progress import Remote

pytestmark = pytest.mark.slow


class Broken(SteersmanError):
    """What a test's deploy fails with."""


REJECTED = Broken(
    "app shop: release 3 was rejected: shop on h1: it exited; its last lines:\n"
    "    Traceback (most recent call last):\n    ImportError: no \x1b[31mmodule\n"
    "  release 2 serves as before"
)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with opened(tmp_path) as lab:
        yield lab


async def test_a_push_deploys_its_commit_and_then_the_ref_moves(lab: Lab) -> None:
    commit = lab.ann.copy.commit({"main.py": "1"})
    lab.deploys.may_end.clear()
    pushing = asyncio.create_task(lab.ann.push("shop"))
    await lab.deploys.began.wait()
    assert await lab.at("main") is None
    lab.deploys.may_end.set()
    said = await pushing
    assert said.code == 0, said
    assert f"remote: shop: deploying {commit[:12]}" in said.text
    assert "main -> main" in said.text
    assert await lab.at("main") == commit
    assert lab.deploys.deployed == [("shop", commit, [], True)]
    second = lab.ann.copy.commit({"main.py": "2"})
    assert (await lab.ann.push("shop")).code == 0
    assert await lab.at("main") == second


async def test_a_refused_push_shows_why_and_leaves_the_ref_where_it_was(lab: Lab) -> None:
    good = lab.ann.copy.commit({"main.py": "1"})
    await lab.ann.push("shop")
    bad = lab.ann.copy.commit({"main.py": "broken"})
    lab.deploys.fault = REJECTED
    said = await lab.ann.push("shop")
    assert said.code == 1
    lines = [line.rstrip() for line in said.text.splitlines()]
    assert (
        "remote: app shop: release 3 was rejected: shop on h1: it exited; its last lines:" in lines
    )
    assert "remote:     ImportError: no \\x1b[31mmodule" in lines
    refused = " ! [remote rejected] main -> main (release 3 was rejected: shop on h1: it exited)"
    assert refused in lines
    assert await lab.at("main") == good
    # Nothing of it stays.
    assert (await lab.depot.ask("shop", ["cat-file", "-e", bad]))[0] != 0
    assert not list(lab.depot.path("shop").glob("objects/*incoming*"))
    lab.deploys.fault = None
    assert (await lab.ann.push("shop")).code == 0
    assert await lab.at("main") == bad


@pytest.mark.parametrize("gate", ["build", "none"])
async def test_with_another_gate_the_ref_moves_before_the_rollout(
    tmp_path: Path, gate: str
) -> None:
    async with opened(tmp_path, gate=gate) as lab:
        commit = lab.ann.copy.commit({"main.py": "1"})
        lab.deploys.fault = REJECTED
        said = await lab.ann.push("shop")
        if gate == "build":
            assert said.code == 1
            assert lab.deploys.built == [commit]
            assert lab.deploys.deployed == []
            assert await lab.at("main") is None
            lab.deploys.fault = None
            said = await lab.ann.push("shop")
        assert said.code == 0, said
        assert await lab.at("main") == commit
        assert lab.deploys.deployed == [("shop", commit, [], False)]
        if gate == "none":
            assert lab.deploys.built == []
            assert "remote:   release 2 serves as before" in said.text
            assert "remote: main has moved all the same: its push.gate is none" in said.text
            assert "`steer rollout undo app/shop`; `steer rollout status app/shop`" in said.text
        first = f"remote: shop: deploying {commit[:12]}"
        told = said.text[said.text.index("remote: main has moved, and is rolled out") :]
        assert told.index("`steer rollout status app/shop`") < told.index(first)


async def test_an_app_may_have_a_gate_of_its_own(lab: Lab) -> None:
    await lab.app("shop", push={"gate": "none"})
    commit = lab.ann.copy.commit({"main.py": "1"})
    lab.deploys.fault = REJECTED
    assert (await lab.ann.push("shop")).code == 0
    assert await lab.at("main") == commit


async def test_who_leaves_cancels_nothing(lab: Lab) -> None:
    commit = lab.ann.copy.commit({"main.py": "1"})
    lab.deploys.may_end.clear()
    pushing = asyncio.create_task(lab.ann.push("shop"))
    await lab.deploys.began.wait()
    (pid,) = lab.ann.connections()
    os.kill(pid, signal.SIGKILL)
    assert (await pushing).code != 0
    assert lab.deploys.at_once == 1, "it goes on"
    lab.deploys.may_end.set()
    async with asyncio.timeout(30):
        while await lab.at("main") != commit:  # noqa: ASYNC110 - git is another process
            await asyncio.sleep(0.02)


class Reminders:
    """Counts what pushers are reminded of, and lets a test wait for so many more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._told = asyncio.Condition()
        self.count = 0
        remind = Remote.remind

        def counted(remote: Remote) -> None:
            remind(remote)
            self.count += 1

        monkeypatch.setattr(Remote, "remind", counted)

    async def more(self, number: int) -> None:
        wanted = self.count + number
        async with asyncio.timeout(30):
            while self.count < wanted:  # noqa: ASYNC110 - told by a callback
                await asyncio.sleep(0.01)


async def test_who_pushes_is_reminded_of_what_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reminders = Reminders(monkeypatch)
    async with opened(tmp_path, quiet=0.05) as lab:
        commit = lab.ann.copy.commit({"main.py": "1"})
        lab.deploys.may_end.clear()
        pushing = asyncio.create_task(lab.ann.push("shop"))
        await lab.deploys.began.wait()
        await reminders.more(3)
        lab.deploys.may_end.set()
        said = await pushing
    assert said.code == 0, said
    assert said.text.count(f"remote: still at: shop: deploying {commit[:12]} (") >= 3


@pytest.mark.parametrize("gate", ["rollout", "none"])
async def test_who_leaves_while_lines_are_said_cancels_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: str
) -> None:
    reminders = Reminders(monkeypatch)
    async with opened(tmp_path, quiet=0.02, gate=gate) as lab:
        commit = lab.ann.copy.commit({"main.py": "1"})
        lab.deploys.may_end.clear()
        pushing = asyncio.create_task(lab.ann.push("shop"))
        await lab.deploys.began.wait()
        (pid,) = lab.ann.connections()
        os.kill(pid, signal.SIGKILL)
        assert (await pushing).code != 0
        await reminders.more(10)
        assert lab.deploys.at_once == 1, "it goes on"
        lab.deploys.may_end.set()
        async with asyncio.timeout(30):
            while await lab.at("main") != commit or not lab.deploys.ended:  # noqa: ASYNC110 - git
                await asyncio.sleep(0.02)


async def test_two_pushes_at_once_go_one_after_the_other(lab: Lab, tmp_path: Path) -> None:
    first = lab.ann.copy.commit({"main.py": "1"})
    lab.ann.copy.git("branch", "late", first)
    await lab.ann.push("shop")
    second = lab.ann.copy.commit({"main.py": "2"})
    lab.ann.copy.git("checkout", "-q", "late")
    lab.ann.copy.commit({"main.py": "3"})
    lab.deploys.may_end.clear()
    lab.deploys.began.clear()
    one = asyncio.create_task(lab.ann.push("shop"))
    await lab.deploys.began.wait()
    two = asyncio.create_task(lab.ann.push("shop", "late:main"))
    await lab.deploys.overtaken.wait()
    # One that waits for nobody has the time to show it.
    await asyncio.wait([two], timeout=0.5)
    assert not two.done()
    lab.deploys.may_end.set()
    assert (await one).code == 0
    said = await two
    assert said.code == 1
    assert "remote: overtaking another push to shop" in said.text
    assert "(main has moved meanwhile; fetch, and push again)" in said.text
    assert await lab.at("main") == second
    assert lab.deploys.most_at_once == 1
    assert len(lab.deploys.deployed) == 2


async def test_a_newer_push_overtakes_one_that_is_under_way(lab: Lab) -> None:
    lab.ann.copy.commit({"main.py": "hangs"})
    lab.deploys.may_end.clear()
    lab.deploys.gives_up = True
    one = asyncio.create_task(lab.ann.push("shop"))
    await lab.deploys.began.wait()
    mended = lab.ann.copy.commit({"main.py": "mended"})
    two = asyncio.create_task(lab.ann.push("shop"))
    said = await one
    assert said.code == 1
    assert (
        "[remote rejected] main -> main (a newer push to shop has overtaken this one" in said.text
    )
    assert (await two).code == 0
    assert lab.deploys.overtaken_by == [mended]
    assert await lab.at("main") == mended


async def test_what_would_be_refused_overtakes_nobody(lab: Lab) -> None:
    first = lab.ann.copy.commit({"main.py": "1"})
    await lab.ann.push("shop")
    second = lab.ann.copy.commit({"main.py": "2"})
    lab.deploys.may_end.clear()
    lab.deploys.began.clear()
    one = asyncio.create_task(lab.ann.push("shop"))
    await lab.deploys.began.wait()
    lab.ann.copy.git("checkout", "-q", "--orphan", "elsewhere", first)
    lab.ann.copy.commit({"main.py": "3"})
    assert (await lab.ann.push("shop", "+elsewhere:main")).code == 1
    assert lab.deploys.overtaken_by == []
    lab.deploys.may_end.set()
    assert (await one).code == 0
    assert await lab.at("main") == second


async def test_a_push_of_other_refs_waits_for_nobody_and_deploys_nothing(lab: Lab) -> None:
    commit = lab.ann.copy.commit({"main.py": "1"})
    lab.ann.copy.git("tag", "-a", "v1", "-m", "one")
    lab.deploys.may_end.clear()
    pushing = asyncio.create_task(lab.ann.push("shop"))
    await lab.deploys.began.wait()
    said = await lab.ann.push("shop", "main:feature", "v1")
    assert said.code == 0, said
    assert "remote: recorded; what is deployed is main" in said.text
    assert await lab.at("feature") == commit
    assert await lab.at("v1^{commit}") == commit
    assert (await lab.ann.push("shop", ":feature")).code == 0
    assert await lab.at("feature") is None
    lab.deploys.may_end.set()
    assert (await pushing).code == 0
    assert len(lab.deploys.deployed) == 1


async def test_two_refs_in_one_push_stand_and_fall_together(lab: Lab) -> None:
    commit = lab.ann.copy.commit({"main.py": "1"})
    lab.ann.copy.git("branch", "feature")
    assert (await lab.ann.push("shop", "main", "feature")).code == 0
    assert (await lab.at("main"), await lab.at("feature")) == (commit, commit)
    lab.ann.copy.commit({"main.py": "2"})
    lab.ann.copy.git("branch", "-f", "feature")
    lab.deploys.fault = REJECTED
    said = await lab.ann.push("shop", "main", "feature")
    assert "feature -> feature (main was refused)" in said.text
    assert "main -> main (release 3 was rejected" in said.text
    assert (await lab.at("main"), await lab.at("feature")) == (commit, commit)


async def test_history_is_rewritten_only_where_the_app_allows_it(lab: Lab) -> None:
    lab.ann.copy.commit({"main.py": "1"})
    await lab.ann.push("shop")
    lab.ann.copy.git("commit", "-q", "--amend", "-m", "another")
    amended = lab.ann.copy.git("rev-parse", "HEAD")
    said = await lab.ann.push("shop", "--force", "main")
    assert said.code == 1
    assert "main does not contain what is deployed" in said.text
    assert len(lab.deploys.deployed) == 1
    await lab.app("shop", push={"force": True})
    assert (await lab.ann.push("shop", "--force", "main")).code == 0
    assert await lab.at("main") == amended


async def test_the_deployed_ref_is_not_deleted(lab: Lab) -> None:
    commit = lab.ann.copy.commit({"main.py": "1"})
    await lab.ann.push("shop")
    said = await lab.ann.push("shop", ":main")
    assert said.code == 1
    assert "`steer delete app/shop` removes the app" in said.text
    assert await lab.at("main") == commit


async def test_an_app_may_be_deployed_from_a_tag(lab: Lab) -> None:
    await lab.app("shop", ref="live", push={"force": True})
    commit = lab.ann.copy.commit({"main.py": "1"})
    lab.ann.copy.git("tag", "-a", "live", "-m", "this one")
    assert (await lab.ann.push("shop", "main")).code == 0
    assert lab.deploys.deployed == []
    assert (await lab.ann.push("shop", "live")).code == 0
    assert lab.deploys.deployed == [("shop", commit, [], True)]
    lab.ann.copy.git("branch", "live2")
    assert (await lab.ann.push("shop", "live2:refs/heads/live")).code == 0
    second = lab.ann.copy.commit({"main.py": "2"})
    lab.ann.copy.git("tag", "-f", "-a", "live", "-m", "that one")
    said = await lab.ann.push("shop", "--force", "refs/tags/live")
    assert "recorded; what is deployed is live" in said.text, "the branch hides it"
    assert second not in [deployed[1] for deployed in lab.deploys.deployed]


async def test_a_repository_whose_app_is_elsewhere_only_records(lab: Lab) -> None:
    source = {"source": {"git": {"url": "https://git.example.com/shop.git"}}}
    meta = {"metadata": {"name": "shop"}}
    await lab.store.put({"apiVersion": "steersman/v1", "kind": "App", **meta, "spec": source})
    commit = lab.ann.copy.commit({"main.py": "1"})
    said = await lab.ann.push("shop")
    assert "nothing is deployed: its source is another" in said.text
    assert await lab.at("main") == commit
    assert lab.deploys.deployed == []


async def test_other_apps_of_the_repository_are_woken(lab: Lab) -> None:
    source = {"source": {"git": {"url": str(lab.depot.path("shop"))}}}
    meta = {"metadata": {"name": "shop-worker"}}
    await lab.store.put({"apiVersion": "steersman/v1", "kind": "App", **meta, "spec": source})
    lab.ann.copy.commit({"main.py": "1"})
    assert (await lab.ann.push("shop", "main:feature")).code == 0
    assert lab.woken == []
    assert (await lab.ann.push("shop")).code == 0
    assert lab.woken == ["App/shop-worker"]


async def test_what_was_pushed_can_be_fetched_by_whoever_may_push(lab: Lab, tmp_path: Path) -> None:
    commit = lab.ann.copy.commit({"main.py": "1"})
    await lab.ann.push("shop")
    said = await lab.ann.git("clone", "-q", lab.ann.url("shop"), str(tmp_path / "clone"))
    assert said.code == 0, said
    assert (tmp_path / "clone/main.py").read_text() == "1"
    assert (await lab.eve.git("fetch", lab.eve.url("shop"), commit)).code != 0


async def test_a_fault_of_our_own_refuses_the_push_and_tells_nothing(lab: Lab) -> None:
    lab.ann.copy.commit({"main.py": "1"})
    lab.deploys.fault = ZeroDivisionError("secret-of-ours")
    said = await lab.ann.push("shop")
    assert said.code == 1
    assert "the daemon's log says why" in said.text
    assert "secret-of-ours" not in said.text
    assert await lab.at("main") is None
    lab.deploys.fault = None
    assert (await lab.ann.push("shop")).code == 0, "and the turn was given back"
