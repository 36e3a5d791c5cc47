"""What a set of manifests says no more: who belongs to which inventory, and what may go.

An *inventory* is the name of a set of manifests that is applied as a whole again and again: a
watched folder, a Repository, the files of `steer apply --prune`. Whatever the set holds is
remembered with the annotation `steersman/inventory: NAME`; what has that mark and is not in the
set was taken out of it. Nothing else is ever pruned: not what other hands made, not what belongs
to another inventory.

Whoever applies a set does three things:

1. Applies `marked(obj, NAME)` for each object of the set. One that another inventory had moves to
   this one: the set that says it last has it.
2. Asks `plan_prune(NAME, wanted, stored)`, with `wanted` the keys of the set and `stored` all that
   is remembered now (in a dry run: that would be).
3. Deletes `Pruning.remove` in its order, and tells of `Pruning.protected`. When one cannot be
   deleted, it asks again with that key in `wanted`: then what it needs stays as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from steersman.api.app import App
from steersman.api.host import Host
from steersman.api.job import Job
from steersman.api.meta import Object

INVENTORY = "steersman/inventory"
PRUNE = "steersman/prune"
"""Any value but "true" keeps an object, whoever would prune it."""

# The controller writes these; they go with what they belong to.
_NEVER = frozenset({"Build", "Event", "Lease", "Release"})
# What uses others goes before them.
_FIRST, _LAST = ("Plugin", "Job", "App"), ("Secret", "Host")

Marked = TypeVar("Marked", bound=Object)


class Key(NamedTuple):
    """Which object: `Key("App", "shop")`."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, slots=True)
class Pruning:
    """What to delete, in this order; and what stays although the set has it no more, and why."""

    remove: tuple[Key, ...] = ()
    protected: Mapping[Key, str] = field(default_factory=dict)


def marked(obj: Marked, inventory: str) -> Marked:
    """Return `obj` as a member of `inventory`."""
    annotations = {**obj.metadata.annotations, INVENTORY: inventory}
    metadata = obj.metadata.model_copy(update={"annotations": annotations})
    return obj.model_copy(update={"metadata": metadata})


def inventory_of(obj: Object) -> str | None:
    """Return the inventory that an object belongs to."""
    return obj.metadata.annotations.get(INVENTORY)


def plan_prune(inventory: str, wanted: Collection[Key], stored: Iterable[Object]) -> Pruning:
    """Return what of `inventory` is to be deleted now that its set holds `wanted` alone.

    Kept and named: what its annotation protects, Hosts that still hold something or that others
    are reached over, Secrets in use, Apps with a Job that stays. A set of nothing removes nothing:
    a wrong path is likelier than the wish to lose everything.
    """
    known = {key_of(obj): obj for obj in stored}
    gone = {key for key, obj in known.items() if _has_left(obj, inventory, wanted)}
    if not wanted:
        empty = "the set is empty; delete it by its name if that is meant"
        return Pruning((), dict.fromkeys(sorted(gone), empty))
    protected = {key: why for key in sorted(gone) if (why := _own_protection(known[key]))}
    while needed := _needed(known, gone - protected.keys()):
        protected |= needed
    going = sorted(gone - protected.keys(), key=lambda key: _order(key, known))
    return Pruning(tuple(going), protected)


def key_of(obj: Object) -> Key:
    """Return the key that `wanted` has for an object."""
    return Key(obj.kind, obj.name)


def _has_left(obj: Object, inventory: str, wanted: Collection[Key]) -> bool:
    is_ours = inventory_of(obj) == inventory and obj.kind not in _NEVER
    return is_ours and key_of(obj) not in wanted and obj.metadata.deletion_timestamp is None


def _own_protection(obj: Object) -> str | None:
    said = obj.metadata.annotations.get(PRUNE, "true")
    return None if said.lower() == "true" else f"its annotation {PRUNE} is {said!r}"


def _needed(known: Mapping[Key, Object], going: Collection[Key]) -> dict[Key, str]:
    """Return what of `going` something needs that stays, and what that is."""
    needs = (need for key, obj in known.items() if key not in going for need in _needs(obj))
    return {key: why for key, why in needs if key in going}


def _needs(obj: Object) -> Iterator[tuple[Key, str]]:
    if isinstance(obj, App):
        for name in obj.spec.config.secrets:
            yield Key("Secret", name), f"app/{obj.name} uses it"
        for name in obj.status.hosts:
            yield Key("Host", name), f"app/{obj.name} runs there"
    elif isinstance(obj, Job):
        yield Key("App", obj.spec.app), f"job/{obj.name} belongs to it"
        for name in obj.status.hosts:
            yield Key("Host", name), f"job/{obj.name} runs there"
    elif isinstance(obj, Host) and obj.spec.jump is not None:
        yield Key("Host", obj.spec.jump), f"host/{obj.name} is reached over it"


def _order(key: Key, known: Mapping[Key, Object]) -> tuple[int, int, Key]:
    if key.kind in _FIRST:
        return _FIRST.index(key.kind), 0, key
    last = 3 + _LAST.index(key.kind) if key.kind in _LAST else 2
    return last, -_jumps(key, known), key


def _jumps(key: Key, known: Mapping[Key, Object]) -> int:
    """Return over how many other Hosts one is reached: it goes before them."""
    passed: list[Key] = []
    here = known.get(key)
    while isinstance(here, Host) and here.spec.jump is not None and key_of(here) not in passed:
        passed.append(key_of(here))
        here = known.get(Key("Host", here.spec.jump))
    return len(passed)
