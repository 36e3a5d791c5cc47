"""What put, put_status, list and delete promise about objects."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from steersman.store.errors import BadObject, Conflict, NotStored
from steersman.store.selectors import Selector
from steersman.store.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "state") as opened:
        yield opened


def app(name: str = "shop", count: int = 1, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "steersman/v1",
        "kind": "App",
        "metadata": {"name": name, **metadata},
        "spec": {"processes": {"web": {"count": count}}},
    }


async def test_a_new_object_gets_its_metadata(store: SqliteStore) -> None:
    made = await store.put(app())
    assert made.change == "created"
    assert (made.generation, made.resource_version) == (1, 1)
    assert len(made.uid) == 36
    assert made.metadata["creationTimestamp"].endswith("Z")
    seen = await store.get("App", "shop")
    assert seen is not None
    assert seen.object == made.object
    assert seen.change == "unchanged"


async def test_the_same_object_again_changes_nothing(store: SqliteStore) -> None:
    first = await store.put(app(labels={"tier": "front"}))
    again = await store.put(app(labels={"tier": "front"}))
    assert again.change == "unchanged"
    assert again.object == first.object


async def test_spec_changes_raise_the_generation_and_labels_do_not(store: SqliteStore) -> None:
    first = await store.put(app())
    scaled = await store.put(app(count=2))
    labelled = await store.put(app(count=2, labels={"tier": "front"}))
    assert scaled.change == labelled.change == "configured"
    assert (scaled.generation, labelled.generation) == (2, 2)
    assert first.resource_version < scaled.resource_version < labelled.resource_version
    assert labelled.uid == first.uid


async def test_what_json_tells_apart_is_a_change(store: SqliteStore) -> None:
    one, true = app(), app()
    one["spec"], true["spec"] = {"flag": 1}, {"flag": True}
    await store.put(one)
    assert (await store.put(true)).generation == 2


async def test_a_label_left_out_is_removed(store: SqliteStore) -> None:
    await store.put(app(labels={"tier": "front"}))
    assert (await store.put(app())).labels == {}


async def test_put_keeps_status_and_ignores_the_callers(store: SqliteStore) -> None:
    await store.put({**app(), "status": {"phase": "invented"}})
    made = await store.get("App", "shop")
    assert made is not None
    assert made.status == {}
    await store.put_status("App", "shop", {"observedGeneration": 1})
    changed = await store.put({**app(count=5), "status": {}})
    assert changed.status == {"observedGeneration": 1}


async def test_metadata_of_the_store_cannot_be_forged(store: SqliteStore) -> None:
    made = await store.put(app(uid="mine", generation=70, resourceVersion=900))
    assert made.uid != "mine"
    assert (made.generation, made.resource_version) == (1, 1)


async def test_what_was_read_can_be_put_back(store: SqliteStore) -> None:
    made = await store.put(app())
    assert (await store.put(made.object, made.resource_version)).change == "unchanged"


async def test_status_raises_the_version_only(store: SqliteStore) -> None:
    made = await store.put(app())
    seen = await store.put_status("App", "shop", {"ready": 1})
    assert seen.resource_version == made.resource_version + 1
    assert seen.generation == 1
    assert (await store.put_status("App", "shop", {"ready": 1})).change == "unchanged"


async def test_a_stale_writer_is_refused_by_both_versions(store: SqliteStore) -> None:
    first = await store.put(app())
    second = await store.put(app(count=2), first.resource_version)
    with pytest.raises(Conflict, match="resourceVersion 1, but the object is at 2") as refused:
        await store.put(app(count=3), first.resource_version)
    assert refused.value.retryable
    assert (refused.value.expected, refused.value.found) == (1, 2)
    with pytest.raises(Conflict):
        await store.put_status("App", "shop", {}, first.resource_version)
    kept = await store.get("App", "shop")
    assert kept is not None
    assert kept.object == second.object


async def test_zero_expects_that_nothing_is_there(store: SqliteStore) -> None:
    assert (await store.put(app(), 0)).change == "created"
    with pytest.raises(Conflict, match="did not exist"):
        await store.put(app(), 0)
    with pytest.raises(Conflict, match="does not exist"):
        await store.put(app("gone"), 7)


async def test_list_is_in_the_order_people_count(store: SqliteStore) -> None:
    for name in ("shop-10", "shop-9", "blog-2", "7up"):
        await store.put(app(name))
    await store.put({**app("alone"), "kind": "Host"})
    assert [one.name for one in await store.list("App")] == ["7up", "blog-2", "shop-9", "shop-10"]


async def test_list_selects_by_label(store: SqliteStore) -> None:
    await store.put(app("shop", labels={"tier": "front"}))
    await store.put(app("bank", labels={"tier": "back"}))
    chosen = await store.list("App", Selector.parse("tier=front"))
    assert [one.name for one in chosen] == ["shop"]


async def test_delete_forgets(store: SqliteStore) -> None:
    await store.put(app())
    assert await store.delete("App", "shop")
    assert not await store.delete("App", "shop")
    assert await store.get("App", "shop") is None
    assert (await store.put(app())).generation == 1


async def test_versions_never_repeat_after_a_delete(store: SqliteStore) -> None:
    first = await store.put(app())
    await store.delete("App", "shop")
    again = await store.put(app())
    assert again.resource_version > first.resource_version
    assert again.uid != first.uid


async def test_status_of_nothing_is_refused(store: SqliteStore) -> None:
    with pytest.raises(NotStored, match="App shop: not found"):
        await store.put_status("App", "shop", {})


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"metadata": {"name": "x"}, "spec": {}}, "without a kind"),
        ({"kind": "App", "spec": {}}, "without metadata.name"),
        ({"kind": "App", "metadata": {"name": "x"}, "spec": {}}, "lacks its apiVersion"),
        ({**app(), "spec": {"when": object()}}, "not plain JSON"),
        ({**app(), "spec": {"rate": float("nan")}}, "not plain JSON"),
    ],
)
async def test_what_is_no_object_is_refused(
    store: SqliteStore, broken: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadObject, match=why):
        await store.put(broken)


async def test_returned_objects_are_the_callers_own(store: SqliteStore) -> None:
    given = app()
    made = await store.put(given)
    made.spec["processes"]["web"]["count"] = 99
    given["spec"]["processes"]["web"]["count"] = 98
    kept = await store.get("App", "shop")
    assert kept is not None
    assert kept.spec["processes"]["web"]["count"] == 1
