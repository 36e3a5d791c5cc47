"""A store and the model, told the same at random, for as long as they agree."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from steersman.api.errors import SteersmanError
from steersman.store.errors import Compacted, Conflict, UidConflict
from steersman.store.protocol import Object, Page, Propagation, Store, Stored, Watch
from steersman.testing.samples import take
from steersman.testing.store_model import Model, Reference, Refusal, Thing
from steersman.testing.watch_laws import replay

T = TypeVar("T")

NAMES = st.sampled_from(["a", "b", "c", "d"])
LABELS = st.dictionaries(st.sampled_from(["x", "y", "z"]), st.sampled_from(["0", "1"]))
ADDRESSES = st.sampled_from(["192.0.2.1", "192.0.2.2"])
FINALIZERS = st.sets(st.sampled_from(["f", "g"]))
PROPAGATIONS = st.sampled_from(["background", "foreground", "orphan"])


class StoreMachine(RuleBasedStateMachine):
    """Subclass it with `opened`, which gives an empty store, and take its `TestCase`.

    After every step all objects are what the model says, and what a watch has told since the
    beginning adds up to them.
    """

    opened: ClassVar[Callable[[], AbstractAsyncContextManager[Store]]]

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.context = type(self).opened()
        self.store = self.run(self.context.__aenter__())
        self.model = Model()
        self.watch: Watch = self.store.watch(0)
        self.seen = 0
        self.told: dict[tuple[str, str], Object] = {}
        self.page: Page | None = None
        self.rest: list[Object] = []
        self.compacted = 0

    def run(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return self.runner.run(wait())

    def teardown(self) -> None:
        self.run(self.watch.aclose())
        self.run(self.context.__aexit__(None, None, None))
        self.runner.close()

    @rule(
        name=NAMES,
        labels=LABELS,
        address=ADDRESSES,
        finalizers=FINALIZERS,
        owners=st.lists(st.tuples(NAMES, st.sampled_from(["uid", "name", "wrong"])), max_size=2),
        keeps=st.booleans(),
    )
    def put(
        self,
        name: str,
        labels: dict[str, str],
        address: str,
        finalizers: set[str],
        owners: list[tuple[str, str]],
        keeps: bool,
    ) -> None:
        known = self.model.things.get(name)
        references = [self.reference(*one) for one in dict(owners).items()]
        if known is not None and keeps:
            references, finalizers = known.owners, finalizers | known.finalizers
        target = manifest(name, {**labels, "address": address})
        target["metadata"] |= {
            "finalizers": sorted(finalizers),
            "ownerReferences": [written(one) for one in references],
        }
        refusal = self.model.put(name, values_of(target), finalizers, references)
        self.agree(name, refusal, self.store.put(target))

    @rule(
        name=NAMES,
        manager=st.sampled_from(["steer", "ops"]),
        labels=LABELS,
        address=st.none() | ADDRESSES,
        force=st.booleans(),
    )
    def apply(
        self, name: str, manager: str, labels: dict[str, str], address: str | None, force: bool
    ) -> None:
        values = labels if address is None else {**labels, "address": address}
        refusal = self.model.apply(name, manager, values, force)
        call = self.store.apply(manifest(name, values), manager, force=force)
        self.agree(name, refusal, call)

    @rule(name=NAMES, number=st.integers(0, 2))
    def put_status(self, name: str, number: int) -> None:
        if name in self.model.things:
            self.model.things[name].status = number
            self.run(self.store.put_status("Host", name, {"observedGeneration": number}))

    @rule(name=NAMES, propagation=PROPAGATIONS)
    def delete(self, name: str, propagation: Propagation) -> None:
        is_there = name in self.model.things
        if is_there:
            self.model.delete(name, propagation)
        gone = self.run(self.store.delete("Host", name, propagation=propagation))
        assert (gone is not None) == is_there
        if gone is not None:
            assert (gone.change == "deleted") == (name not in self.model.things)

    @rule(name=NAMES, labels=LABELS, by_uid=st.booleans())
    def believe_something_wrong(self, name: str, labels: dict[str, str], by_uid: bool) -> None:
        target = manifest(name, {**labels, "address": "192.0.2.9"})
        wrong: Any = {"uid": "wrong"} if by_uid else {"expected_resource_version": 10**9}
        for call in (
            self.store.put(target, **wrong),
            self.store.apply(target, "steer", force=True, **wrong),
            self.store.delete("Host", name, **wrong),
        ):
            error = self.run(raised(call))
            assert isinstance(error, UidConflict if by_uid else Conflict), error

    @rule(name=NAMES, labels=LABELS, propagation=PROPAGATIONS)
    def try_only(self, name: str, labels: dict[str, str], propagation: Propagation) -> None:
        target = manifest(name, {**labels, "address": "192.0.2.9"})
        self.run(self.store.apply(target, "steer", force=True, dry_run=True))
        self.run(self.store.delete("Host", name, propagation=propagation, dry_run=True))

    @rule()
    def forget(self) -> None:
        self.compacted = self.run(self.store.compact())

    @rule()
    def begin_to_read(self) -> None:
        whole = self.run(self.store.page())
        self.page = self.run(self.store.page(limit=1))
        self.rest = [one.object for one in whole.items[1:]]

    @precondition(lambda self: self.page is not None and self.page.token is not None)
    @rule()
    def read_on(self) -> None:
        assert self.page is not None
        try:
            self.page = self.run(self.store.page(limit=1, token=self.page.token))
        except Compacted:
            assert self.page.revision < self.compacted
            self.page = None
        else:
            assert self.page.revision >= self.compacted
            assert [one.object for one in self.page.items] == self.rest[:1]
            del self.rest[:1]

    @invariant()
    def objects_are_what_the_model_says(self) -> None:
        stored = {one.name: one for one in self.run(self.store.list("Host"))}
        assert set(stored) == set(self.model.things)
        for name, thing in self.model.things.items():
            assert seen_as(stored[name]) == described(thing), name

    @invariant()
    def changes_add_up(self) -> None:
        page = self.run(self.store.page())
        for change in self.run(take(self.watch, page.revision - self.seen)):
            self.seen += 1
            assert change.revision == self.seen
            replay(self.told, change)
        assert self.told == {(one.kind, one.name): one.object for one in page.items}

    def agree(self, name: str, refusal: Refusal | None, call: Awaitable[Stored]) -> None:
        """Let the store do what the model has done; learn the uid that it made up."""
        before = self.run(self.store.revision())
        answer = self.run(raised(call))
        assert type(answer) is (refusal or Stored), answer
        if isinstance(answer, Stored):
            assert (answer.change == "unchanged") == (self.run(self.store.revision()) == before)
            assert (answer.change == "deleted") == (name not in self.model.things)
            self.model.things.get(name, Thing()).uid = answer.uid

    def reference(self, name: str, by: str) -> Reference:
        thing = self.model.things.get(name)
        uid = {"name": None, "wrong": "wrong", "uid": thing.uid if thing is not None else "none"}
        return Reference(name, uid[by])


async def raised(call: Awaitable[T]) -> T | SteersmanError:
    try:
        return await call
    except SteersmanError as error:
        return error


def manifest(name: str, values: dict[str, str]) -> Object:
    labels = {key: value for key, value in values.items() if key != "address"}
    spec = {"spec": {"address": values["address"]}} if "address" in values else {}
    metadata: Object = {"name": name, "labels": labels} if labels else {"name": name}
    return {"apiVersion": "steersman/v1", "kind": "Host", "metadata": metadata, **spec}


def values_of(obj: Object) -> dict[str, str]:
    return {**(obj["metadata"].get("labels") or {}), **obj["spec"]}


def written(reference: Reference) -> Object:
    bare = {"kind": "Host", "name": reference.name}
    return bare if reference.uid is None else {**bare, "uid": reference.uid}


def seen_as(stored: Stored) -> Object:
    metadata, managers = stored.metadata, dict[str, set[tuple[str, str]]]()
    for entry in stored.managed_fields:
        fields = entry["fieldsV1"]
        labels = fields.get("f:metadata", {}).get("f:labels", {})
        for element in (*labels, *fields.get("f:spec", {})):
            who = entry["manager"], entry["operation"]
            managers.setdefault(element.removeprefix("f:"), set()).add(who)
    return {
        "values": values_of(stored.object),
        "managers": managers,
        "finalizers": set(metadata.get("finalizers") or ()),
        "owners": metadata.get("ownerReferences") or [],
        "uid": stored.uid,
        "generation": stored.generation,
        "status": stored.status.get("observedGeneration"),
        "is_deleting": stored.is_being_deleted,
    }


def described(thing: Thing) -> Object:
    return {
        "values": thing.values,
        "managers": {name: one.managers for name, one in thing.fields.items()},
        "finalizers": thing.finalizers,
        "owners": [written(one) for one in thing.owners],
        "uid": thing.uid,
        "generation": thing.generation,
        "status": thing.status,
        "is_deleting": thing.is_deleting,
    }
