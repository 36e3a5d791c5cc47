"""What a store should do, said a second time and as simply as possible.

Objects are Hosts whose only fields are labels and an address. Nothing here is taken from a store's
code, so that both would have to be wrong in the same way to agree on something wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from steersman.store.errors import BadObject, BeingDeleted, FieldConflict, NoOwner
from steersman.store.protocol import FOREGROUND, Propagation

Refusal = type[BadObject | BeingDeleted | FieldConflict | NoOwner]


@dataclass(frozen=True)
class Reference:
    """An owner by name, and by its uid if that matters."""

    name: str
    uid: str | None


@dataclass
class Field:
    """A value, and who manages it: manager and operation."""

    value: str
    managers: set[tuple[str, str]]


@dataclass
class Thing:
    """One object; its uid is known once the store has made it up."""

    fields: dict[str, Field] = field(default_factory=dict)
    finalizers: set[str] = field(default_factory=set)
    owners: list[Reference] = field(default_factory=list)
    uid: str = ""
    generation: int = 1
    status: int | None = None
    is_deleting: bool = False

    @property
    def values(self) -> dict[str, str]:
        return {name: one.value for name, one in self.fields.items()}

    @property
    def is_going(self) -> bool:
        return self.is_deleting and not self.finalizers

    def set(self, values: Mapping[str, str], manager: tuple[str, str]) -> None:
        """Set what differs, which then is `manager`'s alone."""
        for key, value in values.items():
            if self.values.get(key) != value:
                self.fields[key] = Field(value, {manager})

    def doom(self) -> None:
        """Begin its deletion, once."""
        self.generation += not self.is_deleting
        self.is_deleting = True


class Model:
    """All objects by name. A call changes nothing when it returns what the store must raise."""

    def __init__(self) -> None:
        self.things: dict[str, Thing] = {}

    def put(
        self, name: str, values: Mapping[str, str], finalizers: set[str], owners: list[Reference]
    ) -> Refusal | None:
        thing = self.things.get(name)
        for one in owners:
            if thing is not None and one in thing.owners:
                continue
            owner = self._at(one)
            if owner is None and one.uid is not None:
                return NoOwner
            if owner is not None and FOREGROUND in owner.finalizers:
                return BeingDeleted
        if thing is None:
            thing = self.things[name] = Thing()
        elif thing.is_deleting and finalizers - thing.finalizers:
            return BeingDeleted
        elif thing.values.get("address") != values["address"]:
            thing.generation += 1
        for key in thing.fields.keys() - values.keys():
            del thing.fields[key]
        thing.set(values, ("update", "Update"))
        thing.finalizers, thing.owners = finalizers, owners
        self._settle()
        return None

    def apply(
        self, name: str, manager: str, values: Mapping[str, str], force: bool
    ) -> Refusal | None:
        thing = self.things.get(name)
        if thing is None and "address" not in values:
            return BadObject
        thing = thing if thing is not None else Thing()
        for key, one in thing.fields.items():
            others = {who for who, _ in one.managers} - {manager}
            if others and key in values and values[key] != one.value and not force:
                return FieldConflict
        before = thing.values.get("address")
        me = (manager, "Apply")
        for key, one in list(thing.fields.items()):
            if me in one.managers and key not in values:
                one.managers.remove(me)
                if not one.managers:
                    del thing.fields[key]
        thing.set(values, me)
        for key in values:
            thing.fields[key].managers.add(me)
        is_known = name in self.things
        thing.generation += is_known and before != thing.values.get("address")
        self.things[name] = thing
        return None

    def delete(self, name: str, propagation: Propagation) -> None:
        if propagation == "orphan":
            for each in self._dependents(name):
                self._disown(each, name)
        if propagation == "foreground":
            self._delete_all_below(name)
        self.things[name].doom()
        self._settle()

    def _delete_all_below(self, first: str) -> None:
        todo, done = [first], set[str]()
        while todo:
            name = todo.pop(0)
            if name in done:
                continue
            done.add(name)
            below = [each for each in self._dependents(name) if each != name]
            for each in list(below):
                if self._has_other_owner(each, name):
                    self._disown(each, name)
                    below.remove(each)
            self.things[name].doom()
            if below:
                self.things[name].finalizers.add(FOREGROUND)
            todo += below

    def _settle(self) -> None:
        while self._remove_one() or self._release_one():
            pass

    def _remove_one(self) -> bool:
        for name in sorted(self.things):
            if not self.things[name].is_going:
                continue
            for each in self._dependents(name):
                if self._has_other_owner(each, name):
                    self._disown(each, name)
                else:
                    self.things[each].doom()
            del self.things[name]
            return True
        return False

    def _release_one(self) -> bool:
        for thing in self.things.values():
            if not (thing.is_deleting and FOREGROUND in thing.finalizers):
                continue
            below = self._all_below(thing)
            if all(each.is_deleting and each.finalizers <= {FOREGROUND} for each in below):
                for each in (thing, *below):
                    each.finalizers.discard(FOREGROUND)
                return True
        return False

    def _all_below(self, thing: Thing) -> list[Thing]:
        names = {name for name, one in self.things.items() if one is thing}
        found: set[str] = set()
        while names:
            found |= (names := {d for one in names for d in self._dependents(one)} - found)
        return [self.things[name] for name in found]

    def _dependents(self, name: str) -> list[str]:
        uid = self.things[name].uid
        wanted = {Reference(name, None), Reference(name, uid)}
        return sorted(key for key, one in self.things.items() if wanted & set(one.owners))

    def _disown(self, name: str, owner: str) -> None:
        thing, uid = self.things[name], self.things[owner].uid
        gone = (Reference(owner, None), Reference(owner, uid))
        thing.owners = [one for one in thing.owners if one not in gone]

    def _has_other_owner(self, name: str, owner: str) -> bool:
        for one in self.things[name].owners:
            other = self._at(one)
            if other is None or other is self.things[owner]:
                continue
            if FOREGROUND not in other.finalizers and not other.is_going:
                return True
        return False

    def _at(self, reference: Reference) -> Thing | None:
        thing = self.things.get(reference.name)
        return thing if thing is not None and reference.uid in (None, thing.uid) else None
