"""Saying in an object's conditions that the file it came from cannot be read any more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from steersman.api.app import App
from steersman.api.host import Host
from steersman.api.job import Job
from steersman.api.meta import Condition, find_condition, set_condition
from steersman.control.memory import Memory
from steersman.manifests import Sound
from steersman.planning.inventory import inventory_of, key_of

VALID = "ManifestValid"

Marked = App | Host | Job


async def mark(memory: Memory, inventory: str, sound: Sound) -> None:
    """Set the condition of every object of `inventory`: whether its file says what holds.

    An object that no sound file names is taken for one of a broken file, if there is any: what was
    taken out of its file is pruned or left alone only when all files can be read.
    """
    named = {key_of(each.obj) for each in sound.objects}
    fault = "; ".join(str(error.problems[0]).split("\n")[0] for error in sound.broken.values())
    for obj in await _members(memory, inventory):
        is_valid = not fault or key_of(obj) in named
        known = find_condition(obj.status.conditions, VALID)
        if is_valid and (known is None or known.status == "True"):
            continue
        if not is_valid and known is not None and known.message == fault:
            continue
        condition = Condition(
            type=VALID,
            status="True" if is_valid else "False",
            reason="Read" if is_valid else "Broken",
            message="" if is_valid else fault,
            last_transition_time=datetime.now(UTC),
            observed_generation=obj.metadata.generation,
        )
        await memory.set_conditions(obj, set_condition(obj.status.conditions, condition))


async def _members(memory: Memory, inventory: str) -> list[Marked]:
    apps: Mapping[str, Marked] = await memory.apps()
    hosts: Mapping[str, Marked] = await memory.hosts()
    found = [*apps.values(), *hosts.values(), *await memory.jobs()]
    return [obj for obj in found if inventory_of(obj) == inventory]
