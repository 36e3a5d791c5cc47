"""What delete promises: finalizers hold an object, and its dependents go with it or stay."""

from contextlib import aclosing

import pytest

from steersman.store.errors import BeingDeleted, Conflict, NoOwner, UidConflict
from steersman.store.protocol import FOREGROUND, ObjectStore, Propagation
from steersman.testing.samples import app, host, kept, names, owned_by, take, told


class DeletionLaws:
    """Needs the fixture `store`: an empty store."""

    async def test_delete_forgets(self, store: ObjectStore) -> None:
        first = await store.put(app())
        deleted = await store.delete("App", "shop")
        assert deleted is not None
        assert (deleted.change, deleted.uid) == ("deleted", first.uid)
        assert await store.delete("App", "shop") is None
        assert await store.get("App", "shop") is None
        again = await store.put(app())
        assert again.generation == 1
        assert again.uid != first.uid
        assert again.resource_version == first.resource_version + 2

    async def test_delete_expects_what_it_is_told_to(self, store: ObjectStore) -> None:
        first = await store.put(app())
        second = await store.put(app(count=2))
        with pytest.raises(Conflict):
            await store.delete("App", "shop", first.resource_version)
        with pytest.raises(UidConflict):
            await store.delete("App", "shop", uid="another")
        would = await store.delete("App", "shop", second.resource_version, dry_run=True)
        assert would is not None
        assert would.change == "deleted"
        assert (await kept(store, "App", "shop")).object == second.object
        await store.delete("App", "shop", second.resource_version, uid=first.uid)
        assert await store.get("App", "shop") is None
        with pytest.raises(UidConflict):
            await store.delete("App", "shop", uid=first.uid)

    async def test_a_finalizer_holds_until_it_is_removed(self, store: ObjectStore) -> None:
        first = await store.put(app(finalizers=["a", "b"]))
        async with aclosing(store.watch(first.resource_version)) as changes:
            waiting = await store.delete("App", "shop")
            assert waiting is not None
            assert (waiting.change, waiting.generation) == ("configured", 2)
            assert waiting.is_being_deleted
            assert waiting.metadata["finalizers"] == ["a", "b"]
            again = await store.delete("App", "shop")
            assert again is not None
            assert (again.change, again.object) == ("unchanged", waiting.object)
            half = await store.put(app(finalizers=["b"]))
            assert half.metadata["deletionTimestamp"] == waiting.metadata["deletionTimestamp"]
            gone = await store.put(app())
            assert gone.change == "deleted"
            assert await store.get("App", "shop") is None
            types = [one.type for one in await take(changes, 3)]
        assert types == ["MODIFIED", "MODIFIED", "DELETED"]

    async def test_status_is_told_while_an_object_waits(self, store: ObjectStore) -> None:
        await store.put(app(finalizers=["a"]))
        await store.delete("App", "shop")
        seen = await store.put_status("App", "shop", {"observedGeneration": 2})
        assert seen.is_being_deleted
        assert seen.status == {"observedGeneration": 2}

    async def test_who_is_being_deleted_takes_no_finalizer(self, store: ObjectStore) -> None:
        await store.put(app(finalizers=["a"]))
        await store.delete("App", "shop")
        with pytest.raises(BeingDeleted, match="b"):
            await store.put(app(finalizers=["a", "b"]))
        with pytest.raises(BeingDeleted, match="b"):
            await store.apply(app(finalizers=["b"]), "me", force=True)
        changed = await store.put(app(count=2, finalizers=["a"]))
        assert (changed.change, changed.generation) == ("configured", 3)

    async def test_dependents_go_with_their_owner(self, store: ObjectStore) -> None:
        owner = await store.put(app())
        child = await store.put(host("child", ownerReferences=owned_by(owner)))
        await store.put(host("grandchild", ownerReferences=owned_by(child)))
        await store.put(host("stranger"))
        async with aclosing(store.watch(await store.revision())) as changes:
            await store.delete("App", "shop")
            seen = told(await take(changes, 3))
        assert seen == ["DELETED App/shop", "DELETED Host/child", "DELETED Host/grandchild"]
        assert await names(store, "Host") == ["stranger"]

    async def test_who_has_another_owner_stays(self, store: ObjectStore) -> None:
        one, other = await store.put(app("one")), await store.put(app("other"))
        await store.put(host("child", ownerReferences=owned_by(one, other)))
        await store.delete("App", "one")
        child = await kept(store, "Host", "child")
        assert child.metadata["ownerReferences"] == owned_by(other)
        await store.delete("App", "other")
        assert await names(store, "Host") == []

    async def test_a_later_object_of_the_name_owns_nothing(self, store: ObjectStore) -> None:
        first = await store.put(app())
        await store.delete("App", "shop")
        second = await store.put(app())
        with pytest.raises(NoOwner, match=first.uid):
            await store.put(host("child", ownerReferences=owned_by(first)))
        with pytest.raises(NoOwner):
            await store.put(host("child", ownerReferences=[*owned_by(second), *owned_by(first)]))
        assert await names(store, "Host") == []

    async def test_an_owner_without_uid_is_whoever_has_the_name(self, store: ObjectStore) -> None:
        await store.put(host("child", ownerReferences=[{"kind": "App", "name": "shop"}]))
        await store.delete("App", "shop")
        assert await names(store, "Host") == ["child"]
        await store.put(app())
        await store.delete("App", "shop")
        assert await names(store, "Host") == []

    async def test_dependents_wait_for_their_own_finalizers(self, store: ObjectStore) -> None:
        owner = await store.put(app())
        await store.put(host("child", finalizers=["a"], ownerReferences=owned_by(owner)))
        gone = await store.delete("App", "shop")
        assert gone is not None
        assert gone.change == "deleted"
        assert (await kept(store, "Host", "child")).is_being_deleted
        await store.put(host("child"))
        assert await names(store, "Host") == []

    async def test_dependents_stay_while_their_owner_waits(self, store: ObjectStore) -> None:
        owner = await store.put(app(finalizers=["a"]))
        await store.put(host("child", ownerReferences=owned_by(owner)))
        await store.delete("App", "shop")
        assert not (await kept(store, "Host", "child")).is_being_deleted
        await store.put(app())
        assert await names(store, "Host") == []

    async def test_orphans_stay_and_forget_their_owner(self, store: ObjectStore) -> None:
        owner = await store.put(app())
        child = await store.put(host("child", ownerReferences=owned_by(owner)))
        await store.put(host("grandchild", ownerReferences=owned_by(child)))
        await store.delete("App", "shop", propagation="orphan")
        assert await names(store, "App") == []
        orphan = await kept(store, "Host", "child")
        assert not orphan.metadata.get("ownerReferences")
        assert orphan.generation == child.generation
        grandchild = await kept(store, "Host", "grandchild")
        assert grandchild.metadata["ownerReferences"] == owned_by(child)

    async def test_in_the_foreground_an_owner_goes_last(self, store: ObjectStore) -> None:
        owner = await store.put(app())
        child = await store.put(host("child", ownerReferences=owned_by(owner)))
        held = host("grandchild", finalizers=["a"], ownerReferences=owned_by(child))
        await store.put(held)
        waiting = await store.delete("App", "shop", propagation="foreground")
        assert waiting is not None
        assert waiting.metadata["finalizers"] == [FOREGROUND]
        for kind, name in (("App", "shop"), ("Host", "child"), ("Host", "grandchild")):
            assert (await kept(store, kind, name)).is_being_deleted, name
        async with aclosing(store.watch(await store.revision())) as changes:
            await store.put(host("grandchild", ownerReferences=owned_by(child)))
            seen = told(await take(changes, 3))
        assert seen == ["DELETED Host/grandchild", "DELETED Host/child", "DELETED App/shop"]
        assert (await store.page()).items == ()

    async def test_in_the_foreground_all_may_go_at_once(self, store: ObjectStore) -> None:
        owner = await store.put(app())
        for number in range(3):
            await store.put(host(f"h{number}", ownerReferences=owned_by(owner)))
        gone = await store.delete("App", "shop", propagation="foreground")
        assert gone is not None
        assert gone.change == "deleted"
        assert (await store.page()).items == ()

    async def test_an_owner_in_the_foreground_keeps_its_own_finalizers(
        self, store: ObjectStore
    ) -> None:
        owner = await store.put(app(finalizers=["mine"]))
        await store.put(host("child", finalizers=["a"], ownerReferences=owned_by(owner)))
        await store.delete("App", "shop", propagation="foreground")
        await store.put(host("child", ownerReferences=owned_by(owner)))
        assert await names(store, "Host") == []
        assert (await kept(store, "App", "shop")).metadata["finalizers"] == ["mine"]
        assert (await store.put(app())).change == "deleted"

    async def test_an_owner_in_the_foreground_takes_no_dependents(self, store: ObjectStore) -> None:
        owner = await store.put(app())
        await store.put(host("child", finalizers=["a"], ownerReferences=owned_by(owner)))
        await store.delete("App", "shop", propagation="foreground")
        with pytest.raises(BeingDeleted, match="Host late"):
            await store.put(host("late", ownerReferences=owned_by(owner)))

    async def test_an_owner_goes_when_its_last_dependent_is_given_away(
        self, store: ObjectStore
    ) -> None:
        owner = await store.put(app())
        await store.put(host("child", finalizers=["a"], ownerReferences=owned_by(owner)))
        await store.delete("App", "shop", propagation="foreground")
        await store.put(host("child", finalizers=["a"]))
        assert await names(store, "App") == []
        assert await names(store, "Host") == ["child"]

    async def test_who_waits_for_dependents_may_be_told_to_leave_them(
        self, store: ObjectStore
    ) -> None:
        owner = await store.put(app())
        await store.put(host("child", finalizers=["a"], ownerReferences=owned_by(owner)))
        await store.delete("App", "shop", propagation="foreground")
        gone = await store.delete("App", "shop", propagation="orphan")
        assert gone is not None
        assert gone.change == "deleted"
        assert await names(store, "Host") == ["child"]

    @pytest.mark.parametrize("propagation", ["background", "foreground"])
    async def test_a_circle_goes_together(
        self, store: ObjectStore, propagation: Propagation
    ) -> None:
        one = await store.put(app("one"))
        two = await store.put(app("two", ownerReferences=owned_by(one)))
        three = await store.put(app("three", ownerReferences=owned_by(two)))
        await store.put(app("one", ownerReferences=owned_by(three)))
        itself = await store.put(host("itself"))
        await store.put(host("itself", ownerReferences=owned_by(itself)))
        await store.delete("App", "two", propagation=propagation)
        await store.delete("Host", "itself", propagation=propagation)
        assert (await store.page()).items == ()

    async def test_a_circle_in_the_foreground_waits_for_every_finalizer(
        self, store: ObjectStore
    ) -> None:
        one = await store.put(app("one"))
        two = await store.put(app("two", finalizers=["a"], ownerReferences=owned_by(one)))
        await store.put(app("one", ownerReferences=owned_by(two)))
        await store.delete("App", "one", propagation="foreground")
        assert await names(store, "App") == ["one", "two"]
        await store.put(app("two", finalizers=[FOREGROUND], ownerReferences=owned_by(one)))
        assert await names(store, "App") == []

    async def test_a_long_line_of_owners_goes(self, store: ObjectStore) -> None:
        last = await store.put(host("h0"))
        for number in range(1, 150):
            last = await store.put(host(f"h{number}", ownerReferences=owned_by(last)))
        await store.delete("Host", "h0", propagation="foreground")
        assert (await store.page()).items == ()
