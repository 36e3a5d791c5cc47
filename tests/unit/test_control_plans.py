"""A plan is carried out exactly, or not at all where anything has moved since."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from laws.fake_host import UNITS, FakeHost
from laws.fleet import FakeArtifacts, Fleet, controller
from laws.test_planning import app_of
from steersman.api.errors import SteersmanError
from steersman.api.objects import AnyObject, parse_object
from steersman.api.secret import Secret
from steersman.api.source import Source
from steersman.builds import PathSource, Resolved
from steersman.control.apply import Controller
from steersman.control.binding import HostMoved, PlanOutdated
from steersman.control.outcome import Applied
from steersman.control.plans import OtherStore
from steersman.manifests.document import Sourced, Text
from steersman.manifests.problem import Mark
from steersman.manifests.tree import Scalar
from steersman.planning.plans import FORMAT, Plan, PlanUnreadable, read_plan, write_plan
from steersman.planning.seen import FileSeen
from steersman.store.sqlite import SqliteStore

CANARY = "c4n4ry-Zx9!"
NAMES = ("h1", "h2", "h3")


class Branch(FakeArtifacts):
    """A source whose branch can move: `head` is what it is now."""

    head = "v1"
    flavour = ""
    """What a build that is not reproducible differs in."""

    async def resolve(self, source: Source) -> Resolved:
        return Resolved("path", PathSource(source.path or ""), self.head, self.head)

    async def build(self, resolved: Resolved, *_: object) -> str:
        return resolved.content + self.flavour


@dataclass
class World:
    fleet: Fleet
    folder: Path
    run: Controller
    branch: Branch

    async def plan(self, *objects: AnyObject) -> Plan:
        planned = await self.run.plans.make(sourced(*objects), [])
        assert planned.plan is not None, planned.outcomes
        # As anybody reads it from its file.
        return read_plan(write_plan(planned.plan), "plan.json")

    async def carry_out(self, plan: Plan, *objects: AnyObject) -> Applied:
        return await self.run.plans.apply(plan, sourced(*objects))

    def serving(self) -> dict[str, set[int]]:
        return {name: host.serving() for name, host in self.fleet.hosts.items()}


def on_all(number: int) -> dict[str, set[int]]:
    return {name: {number} for name in NAMES}


def sourced(*objects: AnyObject) -> list[Sourced]:
    nothing = Scalar(Mark(1, 1), None, "", is_plain=True)
    return [Sourced(obj, Text("test", Path("/"), ""), nothing) for obj in objects]


def secret(value: str = CANARY) -> AnyObject:
    spec = {"data": {"TOKEN": {"value": value}}}
    metadata = {"name": "key"}
    return parse_object({"kind": "Secret", "metadata": metadata, "spec": spec})


def errors(applied: Applied) -> dict[str, type[SteersmanError]]:
    return {
        host.host: type(host.error)
        for outcome in applied.outcomes
        for host in outcome.hosts
        if host.error is not None
    }


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Three hosts that run release 1, on which release 2 is to come."""
    fleet = Fleet({name: FakeHost() for name in NAMES})
    async with SqliteStore(tmp_path / "state") as store:
        run, _ = controller(fleet, store)
        run._artifacts = branch = Branch()  # type: ignore[assignment]
        made = World(fleet, tmp_path, run, branch)
        applied = await run.apply(sourced(*fleet.documents(), app_of()))
        assert applied.is_good
        branch.head = "v2"
        yield made


async def test_nothing_moved_all_is_done_as_planned(world: World) -> None:
    plan = await world.plan(app_of())
    assert world.serving() == on_all(1), "a plan does nothing"
    planned = plan.apps["shop"]
    assert planned.release is not None and planned.release.number == 2
    assert all("make release 2" in " ".join(host.lines) for host in planned.hosts.values())
    applied = await world.carry_out(plan, app_of())
    assert applied.is_good
    assert world.serving() == on_all(2)
    again = await world.plan(app_of())
    assert [host.lines for host in again.apps["shop"].hosts.values()] == [(), (), ()]
    assert (await world.carry_out(again, app_of())).is_good


async def test_only_the_host_that_moved_is_refused_and_left_alone(world: World) -> None:
    plan = await world.plan(app_of())
    moved = world.fleet.hosts["h2"]
    unit = next(path for path in moved.files if path.startswith(UNITS))
    moved.files[unit] = FileSeen("edited by hand", 0o644, "root:root")
    before, epoch = copy.deepcopy(moved), world.fleet.epochs["h2"]
    applied = await world.carry_out(plan, app_of())
    assert errors(applied) == {"h2": HostMoved}
    assert (moved, world.fleet.epochs["h2"]) == (before, epoch), "something was changed on it"
    assert world.serving() == {"h1": {2}, "h2": {1}, "h3": {2}}
    assert (await world.run.apply(sourced(app_of()))).is_good
    assert world.serving() == on_all(2)


@pytest.mark.parametrize("what", ["unit stopped", "file added", "link moved", "env changed"])
async def test_whatever_moved_counts(world: World, what: str) -> None:
    plan = await world.plan(app_of())
    host = world.fleet.hosts["h1"]
    match what:
        case "unit stopped":
            host.active.discard(next(unit for unit in host.active if "worker" in unit))
        case "file added":
            host.files[f"{UNITS}/steersman-shop.web.g9@.service"] = FileSeen("x", 0o644, "root")
        case "link moved":
            host.links["serving"] = "/srv/steersman/apps/shop/releases/0-old"
        case "env changed":
            host.envs["1"] = FileSeen("x", 0o600, "root")
    assert set(errors(await world.carry_out(plan, app_of()))) == {"h1"}


async def test_the_planned_commit_goes_out_whatever_the_branch_is_now(world: World) -> None:
    plan = await world.plan(app_of())
    world.branch.head = "v3"
    assert (await world.carry_out(plan, app_of())).is_good
    releases = await world.run._memory.releases("shop")
    assert [release.spec.content for release in releases] == ["v1", "v2"]
    assert world.serving() == on_all(2)


async def test_another_release_meanwhile_is_never_replaced(world: World) -> None:
    plan = await world.plan(app_of())
    world.branch.head = "v3"
    await world.run.apply(sourced(app_of()))
    before = copy.deepcopy(world.fleet.hosts)
    applied = await world.carry_out(plan, app_of())
    assert set(errors(applied)) == set(NAMES)
    assert world.fleet.hosts == before


async def test_an_object_that_changed_meanwhile_is_left_as_it_is(world: World) -> None:
    plan = await world.plan(app_of(history=3))
    await world.run._memory.put(app_of(history=7))
    before = copy.deepcopy(world.fleet.hosts)
    (outcome,) = (await world.carry_out(plan, app_of(history=3))).outcomes
    assert isinstance(outcome.error, PlanOutdated)
    assert (await world.run._memory.app("shop")).spec.history == 7
    assert world.fleet.hosts == before


async def test_a_host_whose_object_changed_is_left_alone(world: World) -> None:
    plan = await world.plan(app_of())
    host = next(host for host in world.fleet.documents() if host.name == "h3")
    spec = host.spec.model_copy(update={"root": "/srv/other"})
    await world.run._memory.put(host.model_copy(update={"spec": spec}))
    applied = await world.carry_out(plan, app_of())
    assert errors(applied) == {"h3": PlanOutdated}
    assert world.serving() == {"h1": {2}, "h2": {2}, "h3": {1}}


async def test_other_steps_than_those_that_were_shown_are_not_made(world: World) -> None:
    plan = await world.plan(app_of())
    before = copy.deepcopy(world.fleet.hosts)
    world.branch.flavour = " built anew"
    applied = await world.carry_out(plan, app_of())
    assert errors(applied) == dict.fromkeys(NAMES, HostMoved)
    assert world.fleet.hosts == before


async def test_a_release_of_other_values_is_another(world: World) -> None:
    app = app_of(config={"secrets": ["key"]})
    await world.run.apply(sourced(secret(), app))
    world.branch.head = "v3"
    plan = await world.plan(app)
    rotated = secret("another-value")
    assert isinstance(rotated, Secret)
    await world.run._session.vault.put(rotated, rotated.given())
    (outcome,) = (await world.carry_out(plan, app)).outcomes
    assert isinstance(outcome.error, PlanOutdated) and "made of" in str(outcome.error)
    assert world.serving() == on_all(2)


async def test_a_new_host_is_not_in_the_plan(world: World) -> None:
    plan = await world.plan(app_of())
    world.fleet.hosts["h4"] = FakeHost()
    await world.run._memory.put(world.fleet.documents()[-1])
    assert errors(await world.carry_out(plan, app_of())) == {"h4": HostMoved}
    assert not world.fleet.hosts["h4"].active


async def test_values_are_no_part_of_the_plan_and_must_still_be_the_same(world: World) -> None:
    app = app_of(config={"secrets": ["key"], "env": {"PLAIN": "shown"}})
    plan = await world.plan(secret(), app)
    text = write_plan(plan)
    assert CANARY not in text and "shown" in text
    applied = await world.carry_out(plan, secret("another-value"), app)
    assert [type(outcome.error) for outcome in applied.outcomes] == [PlanOutdated]
    assert await world.run._memory.find("Secret", "key") is None
    assert world.serving() == on_all(1)
    assert (await world.carry_out(plan, secret(), app)).is_good
    assert world.serving() == on_all(2)


async def test_drift_can_be_planned_too(world: World) -> None:
    world.branch.head = "v1"
    world.fleet.hosts["h1"].active.discard("steersman-shop.worker.g1@1.service")
    planned = await world.run.plans.make([], ["shop"])
    assert planned.plan is not None
    assert (await world.carry_out(planned.plan)).is_good
    assert "steersman-shop.worker.g1@1.service" in world.fleet.hosts["h1"].active


async def test_what_cannot_be_planned_whole_is_no_plan(world: World) -> None:
    world.fleet.away.add("h2")
    planned = await world.run.plans.make(sourced(app_of()), [])
    assert planned.plan is None


async def test_a_plan_belongs_to_one_state(world: World, tmp_path: Path) -> None:
    plan = await world.plan(app_of())
    async with SqliteStore(tmp_path / "other") as store:
        other, _ = controller(world.fleet, store)
        with pytest.raises(OtherStore, match="--state-dir"):
            await other.plans.apply(plan, sourced(app_of()))
    # The same state on another machine: nothing of it is this process's.
    async with SqliteStore(tmp_path / "state") as store:
        again, _ = controller(world.fleet, store)
        assert (await again.plans.apply(plan, sourced(app_of()))).is_good


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": FORMAT + 1}, "newer steersman"),
        ({"format": FORMAT - 1}, "older steersman"),
        ({"format": None}, "older steersman"),
        ({"kind": "App"}, "no plan"),
        ({"apps": {"shop": {"hosts": {"h1": {}}}}}, "apps.shop.hosts.h1"),
        ({"more": 1}, "cut off at more"),
    ],
)
async def test_what_is_no_plan_of_ours_says_so(
    world: World, change: dict[str, Any], why: str
) -> None:
    text = write_plan(await world.plan(app_of()))
    with pytest.raises(PlanUnreadable, match=why) as error:
        read_plan(json.dumps(json.loads(text) | change), "plan.json")
    assert "steer diff --save" in str(error.value)
    for broken in (text[:-20], "", "[]"):
        with pytest.raises(PlanUnreadable):
            read_plan(broken, "plan.json")


async def test_an_app_that_a_label_drives_away_is_part_of_the_plan(world: World) -> None:
    app = app_of(placement={"matchExpressions": [{"key": "closed", "operator": "DoesNotExist"}]})
    await world.run.apply(sourced(app))
    host = next(host for host in world.fleet.documents() if host.name == "h2")
    metadata = host.metadata.model_copy(update={"labels": {"closed": "yes"}})
    closed = host.model_copy(update={"metadata": metadata})
    plan = await world.plan(closed)
    assert any("remove every file" in line for line in plan.apps["shop"].hosts["h2"].lines)
    assert (await world.carry_out(plan, closed)).is_good
    assert not world.fleet.hosts["h2"].active
