"""While a canary pauses, hosts that it has not come to are kept as they are, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from operator import contains
from pathlib import Path
from typing import Any, cast

import pytest

from laws.fake_host import FakeHost
from laws.fleet import Fleet, controller
from laws.test_planning import app_of
from steersman.api.errors import SteersmanError
from steersman.control import holding
from steersman.control.drift import SELF_HEAL
from steersman.control.holding import Holding
from steersman.control.hosts import HostLink
from steersman.control.mover import Mover
from steersman.control.outcome import Outcome
from steersman.control.release import PROMOTED
from steersman.control.report import Silent
from steersman.control.target import Wanted
from steersman.store.sqlite import SqliteStore

PAUSE = {"pause": {"duration": "1h"}}
CANARY = {"strategy": "Canary", "canary": {"steps": [{"hosts": 1}, PAUSE]}}
WITHIN = 30


class Scene:
    """Three hosts that run one release, and a second that pauses on the first of them."""

    def __init__(self, store: SqliteStore) -> None:
        self.fleet = Fleet({name: FakeHost() for name in ("h1", "h2", "h3")})
        self.store = store
        self.rolling: asyncio.Task[Outcome] | None = None

    async def apply(self, number: int, **rollout: Any) -> Outcome:
        run, memory = controller(self.fleet, self.store)
        for host in self.fleet.documents():
            await memory.put(host)
        await memory.put(app_of(source={"path": f"/src/good-{number}"}, rollout=rollout))
        return await run.reconcile("shop")

    def begin(self) -> asyncio.Task[Outcome]:
        """Let another release begin its way; it ends with the test."""
        self.rolling = asyncio.create_task(self.apply(2, **CANARY))
        return self.rolling

    def damage(self, name: str) -> str:
        """Stop a unit of a host's and return it."""
        unit = min(each for each in self.fleet.hosts[name].active if "@" in each)
        self.fleet.hosts[name].active.discard(unit)
        return unit

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN):
            while not is_so():  # noqa: ASYNC110 - the fake hosts tell nobody
                await asyncio.sleep(0.01)

    async def promote(self) -> None:
        _, memory = controller(self.fleet, self.store)
        await memory.annotate("shop", {PROMOTED: "2:1"})

    @property
    def serving(self) -> list[int]:
        return [max(host.serving()) for host in self.fleet.hosts.values()]


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(holding, "EVERY", 0.02)
    async with SqliteStore(tmp_path / "state") as store:
        made = Scene(store)
        await made.apply(1)
        yield made
        if made.rolling is not None:
            made.rolling.cancel()
            await asyncio.gather(made.rolling, return_exceptions=True)


async def test_what_a_canary_has_not_come_to_is_healed_and_the_canary_is_not(scene: Scene) -> None:
    rolling = scene.begin()
    await scene.until(lambda: scene.serving == [2, 1, 1])
    canary, other = scene.damage("h1"), scene.damage("h3")
    await scene.until(lambda: other in scene.fleet.hosts["h3"].active)
    assert canary not in scene.fleet.hosts["h1"].active
    assert scene.serving == [2, 1, 1]
    again = scene.damage("h2")
    await scene.until(lambda: again in scene.fleet.hosts["h2"].active)
    await scene.promote()
    outcome = await rolling
    assert outcome.is_good, outcome
    assert scene.serving == [2, 2, 2]
    healed = [e.host for e in await scene.store.events("App", "shop") if e.reason == "Healed"]
    assert sorted(str(host) for host in healed) == ["h2", "h3"]


@pytest.mark.parametrize(("annotations", "is_kept"), [({}, True), ({SELF_HEAL: "off"}, False)])
async def test_an_app_that_is_not_to_be_healed_is_left(
    scene: Scene, annotations: dict[str, str], is_kept: bool
) -> None:
    _, memory = controller(scene.fleet, scene.store)
    asked = asyncio.Event()

    async def before() -> dict[str, Wanted]:
        asked.set()
        raise SteersmanError("that is all that matters here")

    app = await memory.annotate("shop", annotations) if annotations else await memory.app("shop")
    held = Holding(memory, Mover(Silent(), is_dry=True), app, before)
    async with held.during([cast(HostLink, object())]):
        if is_kept:
            await asyncio.wait_for(asked.wait(), WITHIN)
    assert asked.is_set() is is_kept


async def test_a_host_with_another_release_is_left_until_its_turn(scene: Scene) -> None:
    rolling = scene.begin()
    await scene.until(lambda: scene.serving == [2, 1, 1])
    scene.fleet.hosts["h3"].current = "releases/0-another"
    for _ in range(2):
        unit = scene.damage("h2")
        await scene.until(partial(contains, scene.fleet.hosts["h2"].active, unit))
    assert scene.fleet.hosts["h3"].current == "releases/0-another"
    await scene.promote()
    assert (await rolling).is_good
    assert scene.serving == [2, 2, 2]


async def test_the_pause_ends_well_while_a_host_is_away(scene: Scene) -> None:
    rolling = scene.begin()
    await scene.until(lambda: scene.serving == [2, 1, 1])
    scene.fleet.away.add("h3")
    unit = scene.damage("h2")
    await scene.until(lambda: unit in scene.fleet.hosts["h2"].active)
    scene.fleet.away.clear()
    unit = scene.damage("h3")
    await scene.until(lambda: unit in scene.fleet.hosts["h3"].active)
    await scene.promote()
    assert (await rolling).is_good
    assert scene.serving == [2, 2, 2]
