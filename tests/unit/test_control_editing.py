"""What an edit by hand rolls out, and what it leaves alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from laws.fake_host import FakeHost
from laws.fleet import Fleet, controller
from laws.test_planning import app_of
from steersman.api.meta import Object
from steersman.api.objects import AnyObject
from steersman.control.apply import Controller
from steersman.control.editing import Edit, Edited
from steersman.control.release import RESTARTED_AT
from steersman.store.errors import Conflict
from steersman.store.sqlite import SqliteStore

ON_WEB = {"placement": {"selector": {"role": "web"}}}


@pytest.fixture
def fleet() -> Fleet:
    return Fleet({"h1": FakeHost(), "h2": FakeHost()})


@pytest.fixture
async def run(fleet: Fleet, tmp_path: Path) -> AsyncIterator[Controller]:
    """An app that runs on h1, which is labelled for it, and not on h2."""
    async with SqliteStore(tmp_path / "state") as store:
        made, memory = controller(fleet, store)
        for host in fleet.documents():
            await memory.put(marked(host, role="web") if host.name == "h1" else host)
        await memory.put(app_of(**ON_WEB))
        assert (await made.reconcile("shop")).is_good
        yield made


def marked(obj: Any, part: str = "labels", **values: str) -> Any:
    metadata = obj.metadata.model_copy(update={part: {**getattr(obj.metadata, part), **values}})
    return obj.model_copy(update={"metadata": metadata})


async def edit(run: Controller, *changed: AnyObject, **how: Any) -> Edited:
    edits = []
    for obj in changed:
        stored = await run._memory.store.get(obj.kind, obj.name)
        edits.append(Edit(obj, stored.resource_version if stored is not None else 0))
    return await run.editing.put(edits, manager="test", **how)


def holds(fleet: Fleet) -> list[str]:
    return [name for name, host in fleet.hosts.items() if host.active]


async def known(run: Controller, kind: str, name: str) -> Any:
    found: Object | None = await run._memory.find(kind, name)
    assert found is not None
    return found


async def test_a_label_that_an_app_answers_to_brings_it(run: Controller, fleet: Fleet) -> None:
    assert holds(fleet) == ["h1"]
    edited = await edit(run, marked(await known(run, "Host", "h2"), role="web"))
    assert [outcome.app for outcome in edited.outcomes] == ["shop"]
    assert holds(fleet) == ["h1", "h2"]
    back = await known(run, "Host", "h2")
    bare = back.model_copy(update={"metadata": back.metadata.model_copy(update={"labels": {}})})
    assert (await edit(run, bare)).outcomes[0].is_good
    assert holds(fleet) == ["h1"]


@pytest.mark.parametrize("kind", ["Host", "App"])
async def test_other_labels_touch_no_host(run: Controller, fleet: Fleet, kind: str) -> None:
    epochs = dict(fleet.epochs)
    obj = await known(run, kind, "h1" if kind == "Host" else "shop")
    edited = await edit(run, marked(obj, tier="front"), marked(obj, "annotations", note="hello"))
    assert edited.results[0] == "configured" and edited.outcomes == ()
    # Both were made of one that was read before: the second must not undo the first.
    assert isinstance(edited.results[1], Conflict)
    assert (await known(run, kind, obj.name)).metadata.labels["tier"] == "front"
    assert fleet.epochs == epochs


async def test_a_changed_app_and_an_annotation_that_steers_are_rolled_out(
    run: Controller, fleet: Fleet
) -> None:
    app = await known(run, "App", "shop")
    spec = app.spec.model_copy(update={"history": 3})
    assert len((await edit(run, app.model_copy(update={"spec": spec}))).outcomes) == 1
    app = await known(run, "App", "shop")
    edited = await edit(run, marked(app, "annotations", **{RESTARTED_AT: "now"}))
    assert edited.outcomes[0].is_good
    assert fleet.hosts["h1"].serving() == {2}


async def test_a_placement_that_changes_moves_the_app(run: Controller, fleet: Fleet) -> None:
    app = await known(run, "App", "shop")
    wide = app_of(placement={"hosts": ["h2"]})
    await edit(run, app.model_copy(update={"spec": wide.spec}))
    assert holds(fleet) == ["h2"]


async def test_a_dry_edit_changes_nothing(run: Controller, fleet: Fleet) -> None:
    host = await known(run, "Host", "h2")
    assert (await edit(run, marked(host, role="web"), is_dry=True)).results == ("configured",)
    assert await known(run, "Host", "h2") == host
    assert holds(fleet) == ["h1"]
