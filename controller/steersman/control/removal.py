"""Removes what a set of manifests has no more, from hosts and from memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from steersman.api.errors import SteersmanError
from steersman.api.meta import Object
from steersman.api.objects import MANIFEST_KINDS, parse_object
from steersman.control.apply import Applied
from steersman.control.installations import Objects
from steersman.control.outcome import Outcome
from steersman.manifests.document import Sourced
from steersman.planning.inventory import Key, plan_prune

Cascade = Literal["background", "orphan"]


class JobHands(Protocol):
    """See `control.jobs.Jobs`."""

    async def delete(self, name: str, cascade: Cascade) -> Mapping[str, SteersmanError]: ...


class Hands(Protocol):
    """What of a `Controller` is needed, wherever it runs."""

    @property
    def jobs(self) -> JobHands: ...

    async def apply(self, sourced: Sequence[Sourced]) -> Applied: ...
    async def delete_app(self, name: str, cascade: Cascade) -> Outcome: ...
    async def delete_host(self, name: str, cascade: Cascade) -> list[Outcome]: ...
    async def delete_secret(self, name: str) -> None: ...


class NotRemoved(SteersmanError):
    """Hosts still hold something of an object, so it stays known."""

    def __init__(self, key: Key, errors: Iterable[SteersmanError]) -> None:
        why = "; ".join(str(error) for error in errors)
        super().__init__(f"{key} was not removed: {why}; run this again when its hosts answer")


@dataclass(frozen=True, slots=True)
class Removal:
    """What went, what stays as it is protected or needed, and what could not be removed."""

    removed: tuple[Key, ...] = ()
    protected: Mapping[Key, str] = field(default_factory=dict)
    faults: tuple[SteersmanError, ...] = ()


async def remove_others(
    inventory: str, wanted: Collection[Key], store: Objects, hands: Hands
) -> Removal:
    """Remove what is of `inventory` and not in `wanted`."""
    removed: list[Key] = []
    stuck: dict[Key, SteersmanError] = {}
    while True:
        # One that is stuck counts as wanted: what it needs stays as well.
        pruning = plan_prune(inventory, {*wanted, *stuck}, await stored_objects(store))
        if not pruning.remove:
            return Removal(tuple(removed), pruning.protected, tuple(stuck.values()))
        for key in pruning.remove:
            try:
                await _remove(key, hands)
            except SteersmanError as error:
                stuck[key] = error
                break
            removed.append(key)


async def stored_objects(store: Objects) -> list[Object]:
    """Return all that people's manifests said and that is remembered."""
    stored = [each for kind in MANIFEST_KINDS for each in await store.list(kind)]
    return [parse_object(each.object) for each in stored]


async def _remove(key: Key, hands: Hands) -> None:
    errors: list[SteersmanError] = []
    match key.kind:
        case "App":
            errors = _errors([await hands.delete_app(key.name, "background")])
        case "Host":
            errors = _errors(await hands.delete_host(key.name, "background"))
        case "Job":
            errors = list((await hands.jobs.delete(key.name, "background")).values())
        case "Secret":
            await hands.delete_secret(key.name)
    if errors:
        raise NotRemoved(key, errors)


def _errors(outcomes: Iterable[Outcome]) -> list[SteersmanError]:
    return [
        error
        for outcome in outcomes
        for error in (outcome.error, *(host.error for host in outcome.hosts))
        if error is not None
    ]
