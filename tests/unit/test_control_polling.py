"""Polling: who is asked when, and who is woken; time is the test's own."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from builds_lab.repositories import Repository as Sources
from steersman.api.errors import SteersmanError
from steersman.builds.follow import Follower
from steersman.control.memory import Memory
from steersman.control.polling import AT_ONCE, JITTER, LONGEST, Poller, Watched, watched_in
from steersman.store.sqlite import SqliteStore

A, B = "https://git.example/a.git", "https://git.example/b.git"
SHOP = Watched("App/shop", A, "main", 60.0, known="1")
BLOG = Watched("App/blog", A, "v1", 60.0, known="5")
FLEET = Watched("Repository/fleet", B, "main", 10.0, "key")


class Silent(SteersmanError):
    """No answer."""


@dataclass
class World:
    """Repositories whose refs a test moves; `asked` is when they were asked what."""

    watched: list[Watched]
    commits: dict[str, str | None] = field(default_factory=dict)
    asked: list[tuple[float, str, str | None, tuple[str, ...]]] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    hanging: set[str] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0

    async def what(self) -> Sequence[Watched]:
        return list(self.watched)

    async def stands(
        self, url: str, credentials: str | None, refs: Sequence[str]
    ) -> Mapping[str, str | None]:
        self.asked.append((now(), url, credentials, tuple(refs)))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await asyncio.sleep(1e9 if url in self.hanging else 0.5)
        finally:
            self.at_once -= 1
        if url in self.silent:
            raise Silent("no answer; look at the network")
        return {ref: self.commits.get(f"{url} {ref}") for ref in refs}

    async def runs(self, seconds: float) -> None:
        """Let the poller run for so long."""
        poller = Poller(self.what, self.stands, self.woken.append, rng=random.Random(7))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await poller.run()

    def times(self, url: str) -> list[float]:
        return [at for at, asked, _, _ in self.asked if asked == url]

    def gaps(self, url: str) -> list[float]:
        times = self.times(url)
        return [after - before for before, after in itertools.pairwise(times)]


def now() -> float:
    return asyncio.get_running_loop().time()


pytestmark = pytest.mark.looptime


async def test_one_question_for_all_refs_of_a_url_at_its_interval_with_jitter() -> None:
    world = World([SHOP, BLOG], {f"{A} main": "1", f"{A} v1": "5"})
    await world.runs(3600)
    assert {(url, refs) for _, url, _, refs in world.asked} == {(A, ("main", "v1"))}
    assert 50 <= len(world.asked) <= 70
    gaps = world.gaps(A)
    assert all(60 * (1 - JITTER) <= gap <= 60 * (1 + JITTER) + 1 for gap in gaps)
    assert max(gaps) - min(gaps) > 3, "it varies"
    assert world.woken == []


async def test_the_shortest_interval_of_a_url_counts_and_secrets_keep_urls_apart() -> None:
    world = World([SHOP, replace(FLEET, url=A)], {f"{A} main": "1"})
    await world.runs(600)
    assert {(credentials, refs) for _, _, credentials, refs in world.asked} == {
        (None, ("main",)),
        ("key", ("main",)),
    }
    world = World([SHOP, replace(BLOG, interval=5.0)], {f"{A} main": "1", f"{A} v1": "5"})
    await world.runs(600)
    assert len(world.asked) > 90


async def test_only_the_key_whose_ref_moved_is_woken_and_once() -> None:
    world = World([SHOP, BLOG], {f"{A} main": "1", f"{A} v1": "5"})

    async def moves() -> None:
        await asyncio.sleep(300)
        world.commits[f"{A} main"] = "2"
        await asyncio.sleep(300)
        del world.commits[f"{A} v1"]

    await asyncio.gather(moves(), world.runs(1200))
    assert world.woken == ["App/shop", "App/blog"]


async def test_what_moved_while_nobody_looked_is_seen_at_the_first_question() -> None:
    world = World([SHOP, BLOG, FLEET], {f"{A} main": "2", f"{A} v1": "5", f"{B} main": "9"})
    await world.runs(300)
    assert sorted(world.woken) == ["App/shop", "Repository/fleet"]


async def test_silence_is_waited_for_longer_each_time_and_an_answer_ends_that() -> None:
    world = World([SHOP], {f"{A} main": "1"}, silent={A})
    await world.runs(4 * LONGEST)
    gaps = world.gaps(A)
    expected = [min(60.0 * 2**n, LONGEST) for n in range(1, len(gaps) + 1)]
    for gap, wanted in zip(gaps, expected, strict=True):
        assert wanted * (1 - JITTER) <= gap <= wanted * (1 + JITTER) + 1
    assert world.woken == []
    world = World([SHOP], {f"{A} main": "2"}, silent={A})

    async def heals() -> None:
        await asyncio.sleep(400)
        world.silent.clear()

    await asyncio.gather(heals(), world.runs(3600))
    assert world.woken == ["App/shop"]
    assert world.gaps(A)[-1] < 70


async def test_one_that_hangs_holds_up_no_other_and_few_are_asked_at_once() -> None:
    many = [replace(SHOP, key=f"App/a{n}", url=f"{A}{n}", interval=5.0) for n in range(100)]
    world = World([FLEET, *many], {f"{A}{n} main": "1" for n in range(100)}, hanging={B})
    await world.runs(120)
    assert len(world.times(B)) == 1
    assert len(world.asked) > 700
    assert world.most_at_once == AT_ONCE


async def test_what_is_new_is_asked_soon_and_what_is_gone_never_again() -> None:
    world = World([SHOP], {f"{A} main": "1", f"{B} main": "9"})

    async def changes() -> None:
        await asyncio.sleep(300)
        world.watched = [FLEET]

    await asyncio.gather(changes(), world.runs(900))
    assert max(world.times(A)) < 306
    assert 300 <= min(world.times(B)) <= 316


async def test_a_start_is_no_stampede() -> None:
    many = [replace(SHOP, key=f"App/a{n}", url=f"{A}{n}") for n in range(100)]
    world = World(many, {f"{A}{n} main": "1" for n in range(100)})
    await world.runs(66)
    first = sorted(min(world.times(f"{A}{n}")) for n in range(100))
    assert first[10] < 20
    assert first[-10] > 40


@pytest.mark.looptime(False)
async def test_apps_and_repositories_are_watched_unless_pinned_or_suspended(
    tmp_path: Path,
) -> None:
    async with SqliteStore(tmp_path) as store:
        for kind, name, spec in [
            ("App", "shop", {"source": {"git": {"url": A}}}),
            ("App", "pinned", {"source": {"git": {"url": A, "ref": "a" * 40}}}),
            ("App", "packed", {"source": {"package": "x==1"}}),
            ("Repository", "fleet", {"url": B, "interval": "10s", "credentials": "key"}),
            ("Repository", "resting", {"url": B, "suspend": True}),
        ]:
            meta = {"name": name}
            await store.put(
                {"apiVersion": "steersman/v1", "kind": kind, "metadata": meta, "spec": spec}
            )
        await store.put_status("App", "shop", {"commit": "1"})
        await store.put_status("Repository", "fleet", {"seenCommit": "b" * 40})
        found = await watched_in(Memory(store), 60.0)
    assert found == [SHOP, replace(FLEET, known="b" * 40)]


@pytest.mark.looptime(False)
async def test_real_git_says_where_branches_and_tags_are(tmp_path: Path) -> None:
    sources = Sources(tmp_path / "repo")
    first = sources.commit({"a": "1"})
    sources.git("tag", "-a", "v1", "-m", "annotated")
    second = sources.commit({"a": "2"})
    sources.git("branch", "v2", first)
    follower = Follower(tmp_path / "cache", {"PATH": os.environ["PATH"]})
    refs = ["main", "v1", "v2", "refs/heads/main", "nowhere"]
    found = await follower.stands(str(sources.folder), refs, None)
    assert list(found.values()) == [second, first, first, second, None]
    assert await follower.stands(str(sources.folder), ["c" * 40], None) == {"c" * 40: None}
