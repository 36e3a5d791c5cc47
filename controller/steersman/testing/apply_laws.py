"""What apply promises: each manager's fields are its own, and nobody loses any unasked."""

from typing import Any

import pytest

from steersman.store.errors import BadObject, Conflict, FieldConflict, UidConflict
from steersman.store.protocol import Object, ObjectStore
from steersman.testing.samples import app, host, kept


class ApplyLaws:
    """Needs the fixture `store`: an empty store."""

    async def test_apply_makes_and_then_finds_nothing_to_do(self, store: ObjectStore) -> None:
        made = await store.apply(app(), "steer")
        assert (made.change, made.generation) == ("created", 1)
        assert made.spec == app()["spec"]
        again = await store.apply(app(), "steer")
        assert (again.change, again.object) == ("unchanged", made.object)
        assert await store.revision() == made.resource_version

    async def test_managers_add_to_each_other(self, store: ObjectStore) -> None:
        await store.apply(app(labels={"tier": "front"}), "steer")
        both = await store.apply(part(env={"DEBUG": "1"}, labels={"owner": "ops"}), "ops")
        assert both.labels == {"tier": "front", "owner": "ops"}
        assert both.spec == {**app()["spec"], "config": {"env": {"DEBUG": "1"}}}
        assert both.generation == 2

    async def test_a_field_that_is_no_longer_named_goes(self, store: ObjectStore) -> None:
        await store.apply(app(), "steer")
        await store.apply(part(env={"DEBUG": "1", "LEVEL": "2"}), "ops")
        less = await store.apply(part(env={"LEVEL": "2"}), "ops")
        assert less.spec["config"] == {"env": {"LEVEL": "2"}}
        none = await store.apply(part(labels={"owner": "ops"}), "ops")
        assert none.spec == app()["spec"]
        assert (await store.apply(part(), "ops")).labels == {}

    async def test_a_field_of_two_goes_with_the_second(self, store: ObjectStore) -> None:
        await store.apply(app(labels={"tier": "front"}), "steer")
        shared = await store.apply(part(labels={"tier": "front"}), "ops")
        assert shared.generation == 1
        assert (await store.apply(app(), "steer")).labels == {"tier": "front"}
        assert (await store.apply(part(), "ops")).labels == {}

    async def test_sharing_a_field_changes_the_version_only(self, store: ObjectStore) -> None:
        made = await store.apply(app(), "steer")
        shared = await store.apply(app(), "ops")
        assert shared.change == "configured"
        assert shared.generation == 1
        assert shared.resource_version == made.resource_version + 1
        assert shared.spec == made.spec

    async def test_a_conflict_names_every_field_and_its_owners(self, store: ObjectStore) -> None:
        await store.apply(app(count=2, labels={"tier": "front"}), "steer")
        seen = await store.apply(app(count=2), "helper")
        with pytest.raises(FieldConflict) as refused:
            await store.apply(app(count=3, labels={"tier": "back", "new": "x"}), "ops")
        assert [(one.path, one.manager) for one in refused.value.fields] == [
            ("metadata.labels.tier", "steer"),
            ("spec.processes.web.count", "helper"),
            ("spec.processes.web.count", "steer"),
        ]
        assert "--force-conflicts" in str(refused.value)
        assert (await kept(store, "App", "shop")).object == seen.object

    async def test_force_takes_fields_over(self, store: ObjectStore) -> None:
        await store.apply(app(count=2), "steer")
        forced = await store.apply(app(count=3), "ops", force=True)
        assert forced.spec["processes"]["web"]["count"] == 3
        with pytest.raises(FieldConflict, match=r"spec\.processes\.web\.count \(ops\)"):
            await store.apply(app(count=2), "steer")
        # It is its new owner's alone.
        again = await store.apply(app(count=4), "ops")
        assert again.spec["processes"]["web"]["count"] == 4
        # What was taken is not removed when its former owner stops naming it.
        left = await store.apply(part(command="gunicorn shop.wsgi"), "steer")
        assert left.spec["processes"]["web"]["count"] == 4

    async def test_put_takes_over_what_it_changes(self, store: ObjectStore) -> None:
        await store.apply(app(count=2, labels={"tier": "front"}), "steer")
        await store.put(app(count=5, labels={"tier": "front"}))
        with pytest.raises(FieldConflict) as refused:
            await store.apply(app(count=2, labels={"tier": "front"}), "steer")
        assert list(map(str, refused.value.fields)) == ["spec.processes.web.count (update)"]
        with pytest.raises(FieldConflict) as refused:
            await store.apply(app(count=6), "ops")
        assert list(map(str, refused.value.fields)) == ["spec.processes.web.count (update)"]
        again = await store.apply(app(count=5, labels={"tier": "back"}), "steer")
        assert again.labels == {"tier": "back"}

    async def test_put_is_told_by_the_managers_name(self, store: ObjectStore) -> None:
        await store.apply(app(count=2), "steer")
        await store.put(app(count=5), manager="scale")
        with pytest.raises(FieldConflict, match=r"count \(scale\)"):
            await store.apply(app(count=2), "steer")

    async def test_a_manager_never_conflicts_with_itself(self, store: ObjectStore) -> None:
        await store.put(app(count=5), manager="steer")
        applied = await store.apply(app(count=2), "steer")
        assert applied.spec["processes"]["web"]["count"] == 2

    async def test_what_put_removes_is_nobodys(self, store: ObjectStore) -> None:
        await store.apply(app(labels={"tier": "front"}), "steer")
        await store.put(app())
        applied = await store.apply(part(labels={"tier": "back"}), "ops")
        assert applied.labels == {"tier": "back"}

    async def test_lists_are_one_value(self, store: ObjectStore) -> None:
        await store.apply(app(), "steer")
        secrets = part()
        secrets["spec"] = {"config": {"secrets": ["a", "b"]}}
        await store.apply(secrets, "ops")
        secrets["spec"] = {"config": {"secrets": ["b"]}}
        with pytest.raises(FieldConflict, match=r"spec\.config\.secrets \(ops\)"):
            await store.apply(secrets, "dev")
        assert (await store.apply(secrets, "ops")).spec["config"] == {"secrets": ["b"]}

    async def test_finalizers_are_many_values(self, store: ObjectStore) -> None:
        await store.apply(app(finalizers=["a"]), "steer")
        await store.apply(part(finalizers=["b"]), "ops")
        both = await store.apply(part(finalizers=["b", "c"]), "ops")
        assert both.metadata["finalizers"] == ["a", "b", "c"]
        less = await store.apply(part(finalizers=["c"]), "ops")
        assert sorted(less.metadata["finalizers"]) == ["a", "c"]
        await store.delete("App", "shop")
        await store.apply(part(), "ops")
        gone = await store.apply(app(), "steer")
        assert gone.change == "deleted"
        assert await store.get("App", "shop") is None

    async def test_status_is_neither_applied_nor_lost(self, store: ObjectStore) -> None:
        await store.apply({**app(), "status": {"observedGeneration": 9}}, "steer")
        assert (await kept(store, "App", "shop")).status == {}
        await store.put_status("App", "shop", {"observedGeneration": 1})
        applied = await store.apply({**app(count=2), "status": {}}, "steer")
        assert applied.status == {"observedGeneration": 1}
        assert applied.generation == 2

    async def test_apply_expects_what_it_is_told_to(self, store: ObjectStore) -> None:
        made = await store.apply(app(), "steer", expected_resource_version=0)
        with pytest.raises(Conflict):
            await store.apply(app(count=2), "steer", expected_resource_version=0)
        with pytest.raises(UidConflict):
            await store.apply(app(count=2), "steer", uid="another")
        would = await store.apply(
            app(count=2), "steer", expected_resource_version=made.resource_version, dry_run=True
        )
        assert would.spec["processes"]["web"]["count"] == 2
        assert would.resource_version == made.resource_version
        assert (await kept(store, "App", "shop")).object == made.object
        assert await store.revision() == made.resource_version

    async def test_a_part_alone_makes_nothing(self, store: ObjectStore) -> None:
        with pytest.raises(BadObject, match="lacks its spec"):
            await store.apply(part(labels={"tier": "front"}), "ops")
        with pytest.raises(BadObject, match="manager"):
            await store.apply(host(), "")

    async def test_who_manages_what_is_told_on_request(self, store: ObjectStore) -> None:
        await store.apply(host(finalizers=["a"], labels={"tier": "front"}), "steer")
        await store.put(host(address="192.0.2.2", finalizers=["a"], labels={"tier": "front"}))
        seen = await kept(store, "Host", "h1")
        assert "managedFields" not in seen.metadata
        one, other = seen.shown["metadata"]["managedFields"]
        assert one["time"].endswith("Z")
        assert (one["manager"], one["operation"]) == ("steer", "Apply")
        assert (one["apiVersion"], one["fieldsType"]) == ("steersman/v1", "FieldsV1")
        metadata: Object = {"f:labels": {"f:tier": {}}, "f:finalizers": {'v:"a"': {}}}
        assert one["fieldsV1"] == {"f:metadata": metadata}
        assert (other["manager"], other["operation"]) == ("update", "Update")
        assert other["fieldsV1"] == {"f:spec": {"f:address": {}}}
        # What was shown can be put back: it is not part of the object.
        assert (await store.put(seen.shown)).change == "unchanged"


def part(env: dict[str, str] | None = None, command: str | None = None, **metadata: Any) -> Object:
    """Return what somebody wants of the App beside its owner: very little."""
    spec: Object = {}
    if env is not None:
        spec["config"] = {"env": env}
    if command is not None:
        spec["processes"] = {"web": {"command": command}}
    bare = {**app(**metadata)}
    del bare["spec"]
    return {**bare, **({"spec": spec} if spec else {})}
