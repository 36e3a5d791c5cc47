"""A lost state is put together again from hosts, and the same manifests then change nothing."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from laws.fake_host import FakeHost
from laws.fleet import FakeArtifacts, Fleet, controller
from laws.test_planning import app_of
from steersman.api.app import App
from steersman.api.meta import is_true
from steersman.api.objects import AnyObject, parse_object
from steersman.api.source import Source
from steersman.builds import PathSource, Resolved
from steersman.control.adopt import NotAdopted
from steersman.control.apply import Controller
from steersman.control.outcome import Outcome
from steersman.control.release import ADOPTED, COMMAND_DONE, NotConfirmed
from steersman.manifests.document import Sourced, Text
from steersman.manifests.problem import Mark
from steersman.manifests.tree import Scalar
from steersman.store.sqlite import SqliteStore

CANARY = "c4n4ry-Zx9!"
APP = app_of(config={"secrets": ["key"]}, history=2)

State = Callable[[str], AbstractAsyncContextManager[Controller]]


class Branch(FakeArtifacts):
    head = "v1"

    async def resolve(self, source: Source) -> Resolved:
        return Resolved("path", PathSource(source.path or ""), self.head, self.head)


def sourced(*objects: AnyObject) -> list[Sourced]:
    nothing = Scalar(Mark(1, 1), None, "", is_plain=True)
    return [Sourced(obj, Text("test", Path("/"), ""), nothing) for obj in objects]


def secret(value: str = CANARY) -> AnyObject:
    spec = {"data": {"TOKEN": {"value": value}}}
    return parse_object({"kind": "Secret", "metadata": {"name": "key"}, "spec": spec})


@pytest.fixture
def fleet() -> Fleet:
    return Fleet({name: FakeHost() for name in ("h1", "h2", "h3")})


@pytest.fixture
def branch() -> Branch:
    return Branch()


@pytest.fixture
def state(fleet: Fleet, branch: Branch, tmp_path: Path) -> State:
    """Return what opens the state of a name: each has a key of its own."""

    @asynccontextmanager
    async def opened(name: str) -> AsyncIterator[Controller]:
        async with SqliteStore(tmp_path / name) as store:
            run, _ = controller(fleet, store)
            run._artifacts = branch  # type: ignore[assignment]
            yield run

    return opened


async def deploy(run: Controller, fleet: Fleet, *objects: AnyObject) -> list[Outcome]:
    applied = await run.apply(sourced(*fleet.documents(), *objects))
    return list(applied.outcomes)


@pytest.fixture
async def deployed(state: State, fleet: Fleet, branch: Branch) -> None:
    """Two releases of an app with a secret on three hosts; then the state is lost."""
    async with state("lost") as run:
        await deploy(run, fleet, secret(), APP)
        branch.head = "v2"
        await deploy(run, fleet, secret(), APP)


async def adopt(run: Controller, fleet: Fleet) -> Any:
    await run.apply(sourced(*fleet.documents()))
    return await run.adoption.adopt(["h1", "h2", "h3"])


@pytest.mark.usefixtures("deployed")
async def test_the_same_manifests_find_nothing_to_do(state: State, fleet: Fleet) -> None:
    before = copy.deepcopy(fleet.hosts)
    async with state("new") as run:
        adopted = await adopt(run, fleet)
        assert [app.name for app in adopted.apps] == ["shop"] and not adopted.errors
        assert CANARY not in str(fleet.records)
        (outcome,) = await run.diff(sourced(secret(), APP))
        assert [host.steps for host in outcome.hosts] == [(), (), ()]
        (outcome,) = await deploy(run, fleet, secret(), APP)
        assert outcome.is_good and {host.verdict for host in outcome.hosts} == {"unchanged"}
        assert fleet.hosts == before
        releases = await run._memory.releases("shop")
        assert [(r.spec.number, r.status.state) for r in releases] == [
            (1, "superseded"),
            (2, "deployed"),
        ]
        app = await run._memory.app("shop")
        assert (app.status.release, app.status.hosts) == (2, ("h1", "h2", "h3"))
        assert ADOPTED not in app.metadata.annotations
        # Numbers and epochs go on from those that hosts have seen.
        assert await run._memory.store.next_epoch() > max(fleet.epochs.values())


@pytest.mark.usefixtures("deployed")
async def test_once_known_again_all_goes_on_as_ever(state: State, fleet: Fleet) -> None:
    async with state("new") as run:
        await adopt(run, fleet)
        await deploy(run, fleet, secret(), APP)
    async with state("new") as run:
        (outcome,) = await deploy(run, fleet, secret(), APP)
        assert {host.verdict for host in outcome.hosts} == {"unchanged"}
        (outcome,) = await deploy(run, fleet, secret("rotated-value"), APP)
        assert outcome.release is not None and outcome.release.spec.number == 3
        back = await run.steering.undo("shop", 1)
        assert back.is_good and back.release is not None
        assert (back.release.spec.number, back.release.spec.content) == (4, "v1")
        assert all(host.serving() == {4} for host in fleet.hosts.values())


@pytest.mark.usefixtures("deployed")
async def test_other_values_than_hosts_have_are_a_new_release(state: State, fleet: Fleet) -> None:
    async with state("new") as run:
        await adopt(run, fleet)
        (outcome,) = await deploy(run, fleet, secret("another-value"), APP)
        assert outcome.is_good and outcome.release is not None
        assert outcome.release.spec.number == 3


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("verb", ["reconcile", "keep", "restart", "undo", "scale"])
async def test_until_its_manifest_comes_an_app_is_left_alone(
    state: State, fleet: Fleet, verb: str
) -> None:
    verbs: dict[str, Callable[[Controller], Awaitable[Outcome]]] = {
        "reconcile": lambda run: run.reconcile("shop"),
        "keep": lambda run: run.keep("shop"),
        "restart": lambda run: run.steering.restart("shop"),
        "undo": lambda run: run.steering.undo("shop", 1),
        "scale": lambda run: run.steering.scale("shop", {"web": 1}),
    }
    before = copy.deepcopy(fleet.hosts)
    async with state("new") as run:
        await adopt(run, fleet)
        with pytest.raises(NotConfirmed, match="apply its manifest"):
            await verbs[verb](run)
        # Nothing of the verb may be left that the manifest would then bring to hosts.
        (outcome,) = await deploy(run, fleet, secret(), APP)
        assert {host.verdict for host in outcome.hosts} == {"unchanged"}
    assert fleet.hosts == before


async def test_what_runs_is_known_although_its_release_was_of_other_counts(
    state: State, fleet: Fleet
) -> None:
    async with state("lost") as run:
        await deploy(run, fleet, secret(), APP)
        await run.steering.scale("shop", {"web": 3})
    async with state("new") as run:
        await adopt(run, fleet)
        app = await run._memory.app("shop")
        assert app.spec.processes["web"].count == 3
        assert {(p.process, p.desired) for p in app.status.processes} == {("web", 3), ("worker", 1)}
        assert is_true(app.status.conditions, "Ready") is False


@pytest.mark.usefixtures("deployed")
async def test_a_rollout_that_was_under_way_goes_on(
    state: State, fleet: Fleet, branch: Branch
) -> None:
    branch.head = "v3"
    async with state("lost") as run:
        (outcome,) = await _without(run, fleet, "h3", APP)
        assert outcome.release is not None and outcome.release.spec.number == 3
    async with state("new") as run:
        await adopt(run, fleet)
        newest = (await run._memory.releases("shop"))[-1]
        assert (newest.spec.number, newest.status.state) == (3, "pending")
        # Its command must not run once more: hosts serve it already.
        assert is_true(newest.status.conditions, COMMAND_DONE)
        (outcome,) = await deploy(run, fleet, secret(), APP)
        assert outcome.is_good and outcome.release is not None
        assert outcome.release.spec.number == 3
    assert all(host.serving() == {3} for host in fleet.hosts.values())


async def _without(run: Controller, fleet: Fleet, away: str, app: App) -> list[Outcome]:
    fleet.away.add(away)
    try:
        return list((await run.apply(sourced(secret(), app))).outcomes)
    finally:
        fleet.away.clear()


@pytest.mark.usefixtures("deployed")
async def test_what_is_known_is_not_touched(state: State, fleet: Fleet) -> None:
    async with state("lost") as run:
        before = await run._memory.store.get("App", "shop")
        assert (await adopt(run, fleet)).apps == ()
        assert await run._memory.store.get("App", "shop") == before


@pytest.mark.usefixtures("deployed")
async def test_hosts_that_noted_too_little_are_named(state: State, fleet: Fleet) -> None:
    for record in fleet.records.values():
        del record["memory"]
    fleet.away.add("h3")
    async with state("new") as run:
        await run.apply(sourced(*fleet.documents()))
        adopted = await run.adoption.adopt(["h1", "h2", "h3"])
        assert adopted.apps == ()
        assert isinstance(adopted.errors[1], NotAdopted) and "h3" in str(adopted.errors[0])
        fleet.away.clear()
        # It is a new app then, whose numbers still go on.
        (outcome,) = await deploy(run, fleet, secret(), APP)
        assert outcome.release is not None and outcome.release.spec.number == 3
