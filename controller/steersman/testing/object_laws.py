"""What put, put_status, get and list promise of objects, versions and generations."""

import asyncio
from typing import Any

import pytest

from steersman.store.errors import BadObject, Conflict, NotStored, NotWritable, UidConflict
from steersman.store.protocol import ObjectStore
from steersman.store.selectors import Selector
from steersman.testing.samples import app, host, kept, names


class ObjectLaws:
    """Needs the fixture `store`: an empty store."""

    async def test_a_new_object_gets_its_metadata(self, store: ObjectStore) -> None:
        made = await store.put(app())
        assert made.change == "created"
        assert made.generation == 1
        assert made.resource_version == await store.revision() > 0
        assert len(made.uid) == 36
        assert made.metadata["creationTimestamp"].endswith("Z")
        seen = await kept(store, "App", "shop")
        assert seen.object == made.object
        assert seen.change == "unchanged"

    async def test_the_same_object_again_changes_nothing(self, store: ObjectStore) -> None:
        first = await store.put(app(labels={"tier": "front"}))
        again = await store.put(app(labels={"tier": "front"}))
        assert again.change == "unchanged"
        assert again.object == first.object
        assert await store.revision() == first.resource_version

    async def test_spec_changes_raise_the_generation_and_labels_do_not(
        self, store: ObjectStore
    ) -> None:
        first = await store.put(app())
        scaled = await store.put(app(count=2))
        labelled = await store.put(app(count=2, labels={"tier": "front"}))
        assert scaled.change == labelled.change == "configured"
        assert (scaled.generation, labelled.generation) == (2, 2)
        assert labelled.uid == first.uid

    async def test_one_revision_counts_the_changes_of_all_objects(self, store: ObjectStore) -> None:
        begin = await store.revision()
        seen = [
            (await store.put(app())).resource_version,
            (await store.put(host())).resource_version,
            (await store.put_status("App", "shop", {"observedGeneration": 1})).resource_version,
            (await store.put(host(address="192.0.2.2"))).resource_version,
        ]
        assert seen == [begin + 1, begin + 2, begin + 3, begin + 4]
        await store.delete("Host", "h1")
        assert await store.revision() == begin + 5
        assert (await kept(store, "App", "shop")).resource_version == begin + 3

    async def test_a_label_left_out_is_removed(self, store: ObjectStore) -> None:
        await store.put(app(labels={"tier": "front"}))
        assert (await store.put(app())).labels == {}

    async def test_put_keeps_status_and_ignores_the_callers(self, store: ObjectStore) -> None:
        await store.put({**app(), "status": {"observedGeneration": 7}})
        assert (await kept(store, "App", "shop")).status == {}
        await store.put_status("App", "shop", {"observedGeneration": 1})
        changed = await store.put({**app(count=5), "status": {}})
        assert changed.status == {"observedGeneration": 1}

    async def test_metadata_of_the_store_cannot_be_forged(self, store: ObjectStore) -> None:
        forged: dict[str, Any] = {
            "uid": "mine",
            "generation": 70,
            "resourceVersion": 900,
            "creationTimestamp": "1999-12-31T23:59:59Z",
            "deletionTimestamp": "1999-12-31T23:59:59Z",
        }
        made = await store.put(app(**forged))
        assert made.uid != "mine"
        assert made.generation == 1
        assert made.resource_version == await store.revision()
        assert made.metadata["creationTimestamp"] > "2000"
        assert not made.is_being_deleted

    async def test_what_was_read_can_be_put_back(self, store: ObjectStore) -> None:
        await store.put(app())
        made = await store.put_status("App", "shop", {})
        again = await store.put(made.object, made.resource_version, uid=made.uid)
        assert again.change == "unchanged"

    async def test_status_raises_the_version_only(self, store: ObjectStore) -> None:
        made = await store.put(app())
        seen = await store.put_status("App", "shop", {"observedGeneration": 1})
        assert seen.resource_version == made.resource_version + 1
        assert seen.generation == 1
        assert seen.spec == made.spec
        again = await store.put_status("App", "shop", {"observedGeneration": 1})
        assert again.change == "unchanged"

    async def test_a_stale_writer_is_refused_by_both_versions(self, store: ObjectStore) -> None:
        first = await store.put(app())
        second = await store.put(app(count=2), first.resource_version)
        with pytest.raises(Conflict) as refused:
            await store.put(app(count=3), first.resource_version)
        assert refused.value.retryable
        assert refused.value.expected == first.resource_version
        assert refused.value.found == second.resource_version
        with pytest.raises(Conflict):
            await store.put_status("App", "shop", {}, first.resource_version)
        assert (await kept(store, "App", "shop")).object == second.object

    async def test_zero_expects_that_nothing_is_there(self, store: ObjectStore) -> None:
        assert (await store.put(app(), 0)).change == "created"
        with pytest.raises(Conflict, match="did not exist"):
            await store.put(app(), 0)
        with pytest.raises(Conflict, match="does not exist"):
            await store.put(app("gone"), 7)

    async def test_another_object_of_the_name_is_not_meant(self, store: ObjectStore) -> None:
        first = await store.put(app())
        await store.delete("App", "shop")
        with pytest.raises(UidConflict, match="does not exist"):
            await store.put(app(count=2), uid=first.uid)
        second = await store.put(app())
        with pytest.raises(UidConflict, match=second.uid):
            await store.put(app(count=2), uid=first.uid)
        with pytest.raises(UidConflict):
            await store.put_status("App", "shop", {"observedGeneration": 1}, uid=first.uid)
        assert (await kept(store, "App", "shop")).object == second.object
        assert (await store.put(app(count=2), uid=second.uid)).change == "configured"

    async def test_of_all_who_expect_the_same_version_one_wins(
        self, store: ObjectStore, peer: ObjectStore
    ) -> None:
        first = await store.put(app(count=0))
        tries = (
            (store, peer)[count % 2].put(app(count=count), first.resource_version)
            for count in range(1, 21)
        )
        answers = await asyncio.gather(*tries, return_exceptions=True)
        won = [one for one in answers if not isinstance(one, BaseException)]
        assert len(won) == 1
        assert all(isinstance(one, Conflict) for one in answers if one not in won)
        assert (await kept(store, "App", "shop")).object == won[0].object
        assert await store.revision() == first.resource_version + 1

    async def test_a_failed_write_leaves_those_beside_it_alone(self, store: ObjectStore) -> None:
        wishes = [store.put(app(f"shop-{n}"), 0 if n % 3 else 99) for n in range(30)]
        answers = await asyncio.gather(*wishes, return_exceptions=True)
        failed = [n for n, one in enumerate(answers) if isinstance(one, Conflict)]
        assert failed == [n for n in range(30) if n % 3 == 0]
        assert await names(store, "App") == [f"shop-{n}" for n in range(30) if n % 3]
        versions = sorted(one.resource_version for one in await store.list("App"))
        assert versions == list(range(versions[0], versions[0] + 20))

    async def test_a_dry_run_answers_and_changes_nothing(self, store: ObjectStore) -> None:
        made = await store.put(app(), dry_run=True)
        assert (made.change, made.resource_version, made.generation) == ("created", 0, 1)
        assert await store.get("App", "shop") is None
        first = await store.put(app())
        would = await store.put(app(count=2), dry_run=True)
        assert (would.change, would.generation) == ("configured", 2)
        assert would.resource_version == first.resource_version
        assert would.spec["processes"]["web"]["count"] == 2
        seen = await store.put_status("App", "shop", {"observedGeneration": 1}, dry_run=True)
        assert seen.status == {"observedGeneration": 1}
        with pytest.raises(Conflict):
            await store.put(app(count=2), 99, dry_run=True)
        assert (await kept(store, "App", "shop")).object == first.object
        assert await store.revision() == first.resource_version

    async def test_list_is_in_the_order_people_count(self, store: ObjectStore) -> None:
        for name in ("shop-10", "shop-9", "blog-2", "blog"):
            await store.put(app(name))
        await store.put(host("alone"))
        assert await names(store, "App") == ["blog", "blog-2", "shop-9", "shop-10"]
        assert await names(store, "Job") == []

    async def test_list_selects_by_label(self, store: ObjectStore) -> None:
        await store.put(app("shop", labels={"tier": "front"}))
        await store.put(app("bank", labels={"tier": "back"}))
        chosen = await store.list("App", Selector.parse("tier=front"))
        assert [one.name for one in chosen] == ["shop"]

    async def test_status_of_nothing_is_refused(self, store: ObjectStore) -> None:
        with pytest.raises(NotStored, match="App shop: not found"):
            await store.put_status("App", "shop", {})

    async def test_what_is_no_object_is_refused(self, store: ObjectStore) -> None:
        with pytest.raises(BadObject):
            await store.put({**app(), "kind": ""})
        with pytest.raises(BadObject):
            await store.put({**app(), "metadata": {}})
        assert await store.list("App") == ()

    async def test_events_are_written_by_the_store_alone(self, store: ObjectStore) -> None:
        event = {**app("shop-1"), "kind": "Event"}
        with pytest.raises(NotWritable):
            await store.put(event)
        with pytest.raises(NotWritable):
            await store.apply(event, "me")

    async def test_returned_objects_are_the_callers_own(self, store: ObjectStore) -> None:
        given = app()
        made = await store.put(given)
        made.spec["processes"]["web"]["count"] = 99
        given["spec"]["processes"]["web"]["count"] = 98
        (await store.list("App"))[0].spec["processes"]["web"]["count"] = 97
        assert (await kept(store, "App", "shop")).spec["processes"]["web"]["count"] == 1

    async def test_others_see_what_was_acknowledged(
        self, store: ObjectStore, peer: ObjectStore
    ) -> None:
        for count in range(1, 11):
            made = await store.put(app(count=count))
            assert (await kept(peer, "App", "shop")).object == made.object
            assert await peer.revision() == made.resource_version
