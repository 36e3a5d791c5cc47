"""Deleting what a set of manifests says no more, in an order that leaves nothing in use."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from steersman.api.errors import SteersmanError
from steersman.api.meta import Object
from steersman.api.objects import MANIFEST_KINDS, parse_object
from steersman.control.apply import Controller
from steersman.control.memory import Memory
from steersman.planning.inventory import Key, Pruning, plan_prune


class NotPruned(SteersmanError):
    """Hosts still hold something of an object, so that it stays known."""

    def __init__(self, key: Key, why: str) -> None:
        super().__init__(f"{key} was not removed: {why}; it is tried again at the next look")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted, what stays although the set has it no more, and what would not go."""

    removed: tuple[Key, ...] = ()
    protected: Mapping[Key, str] = field(default_factory=dict)
    errors: Mapping[Key, SteersmanError] = field(default_factory=dict)


async def prune(
    controller: Controller, memory: Memory, inventory: str, wanted: Collection[Key]
) -> Pruned:
    """Delete what has the mark of `inventory` and is not in `wanted`."""
    removed: list[Key] = []
    errors: dict[Key, SteersmanError] = {}
    while True:
        plan = await _plan(memory, inventory, {*wanted, *errors})
        left = [key for key in plan.remove if key not in removed]
        if not left:
            return Pruned(tuple(removed), plan.protected, errors)
        try:
            await _delete(controller, memory, left[0])
            removed.append(left[0])
        except SteersmanError as error:
            # What it needs stays as well: the next plan knows.
            errors[left[0]] = error


async def _plan(memory: Memory, inventory: str, wanted: Collection[Key]) -> Pruning:
    stored: list[Object] = []
    for kind in MANIFEST_KINDS:
        stored += [parse_object(each.object) for each in await memory.store.list(kind)]
    return plan_prune(inventory, wanted, stored)


async def _delete(controller: Controller, memory: Memory, key: Key) -> None:
    match key.kind:
        case "App":
            outcomes = [await controller.delete_app(key.name, "background")]
        case "Host":
            outcomes = await controller.delete_host(key.name, "background")
        case "Job":
            errors = await controller.jobs.delete(key.name, "background")
            if errors:
                raise NotPruned(key, "; ".join(map(str, errors.values())))
            return
        case "Secret":
            await controller.delete_secret(key.name)
            return
        case _:
            await memory.store.delete(key.kind, key.name)
            return
    faults = [
        o.error or next(h.error for h in o.hosts if h.error) for o in outcomes if not o.is_good
    ]
    if faults:
        raise NotPruned(key, "; ".join(map(str, faults)))
