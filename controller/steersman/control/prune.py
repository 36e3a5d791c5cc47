"""Deleting what a set of manifests says no more; `planning.inventory` decides what that is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.job import Job
from steersman.api.meta import Object
from steersman.api.objects import AnyObject
from steersman.control.memory import Memory
from steersman.control.outcome import Outcome
from steersman.planning.inventory import Key, Pruning, key_of, marked, plan_prune

Delete = Callable[[str, str], Awaitable[Sequence[Outcome]]]
"""Deletes the object of a kind and a name; raises, or returns how its apps left their hosts."""


class NotPruned(SteersmanError):
    """A host may still hold something of an object, so it stays known."""

    def __init__(self, key: Key, why: str) -> None:
        super().__init__(
            f"{key} was not pruned: {why}; apply again when its hosts answer, or forget it and"
            f" leave them as they are: `steer delete {key} --cascade=orphan`"
        )


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of the objects that a set had and has no more."""

    removed: tuple[Key, ...] = ()
    protected: Mapping[Key, str] = field(default_factory=dict)
    errors: tuple[SteersmanError, ...] = ()


class Pruner:
    """Brings the memory to what a set says, by `delete`."""

    def __init__(self, memory: Memory, delete: Delete) -> None:
        self._memory = memory
        self._delete = delete

    async def prune(self, inventory: str, wanted: Collection[Key]) -> Pruned:
        """Delete what `inventory` had and `wanted`, which was applied as its members, has not.

        What uses others goes before them, and one that cannot be deleted stops no other.
        """
        staying, removed = set(wanted), list[Key]()
        errors: list[SteersmanError] = []
        while True:
            pruning = plan_prune(inventory, staying, await self._memory.everything())
            if not pruning.remove:
                return Pruned(tuple(removed), pruning.protected, tuple(errors))
            first = pruning.remove[0]
            # Hosts may be reached over each other; other kinds need nothing of their own kind.
            alike = [key for key in pruning.remove if key.kind == first.kind]
            batch = alike[:1] if first.kind == "Host" else alike
            faults = await asyncio.gather(*(self._fault(key) for key in batch))
            for key, fault in zip(batch, faults, strict=True):
                if fault is None:
                    removed.append(key)
                else:
                    errors.append(fault)
                    staying.add(key)

    async def would_prune(
        self, inventory: str, wanted: Collection[Key], objects: Sequence[AnyObject]
    ) -> Pruning:
        """Return what `prune` would do once `objects` were applied as members of `inventory`."""
        stored: dict[Key, Object] = {key_of(obj): obj for obj in await self._memory.everything()}
        for obj in objects:
            known = stored.get(key_of(obj))
            # A manifest says no status, and who holds what is in there.
            status = {"status": known.status} if isinstance(known, App | Job) else {}
            stored[key_of(obj)] = marked(obj, inventory).model_copy(update=status)
        return plan_prune(inventory, wanted, stored.values())

    async def _fault(self, key: Key) -> SteersmanError | None:
        """Delete an object; return why it may still be somewhere."""
        try:
            outcomes = await self._delete(*key)
        except SteersmanError as error:
            return NotPruned(key, str(error))
        except ExceptionGroup as group:
            return NotPruned(key, "; ".join(map(str, group.exceptions)))
        faults = [outcome.error for outcome in outcomes if outcome.error is not None]
        faults += [h.error for outcome in outcomes for h in outcome.hosts if h.error is not None]
        return NotPruned(key, "; ".join(map(str, faults))) if faults else None
