"""The verbs of charts: what they render is applied, pruned, remembered and taken back."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from steersman.api.errors import SteersmanError
from steersman.api.installation import (
    ChartVersion,
    Installation,
    InstallationSpec,
    RenderedManifest,
)
from steersman.charting.render import objects_in
from steersman.control.apply import Applied
from steersman.control.installations import (
    KIND,
    Installations,
    NotInstalled,
    Objects,
    is_installed,
    last_good,
    one_before,
    revision_of,
)
from steersman.control.prune import Pruned, Pruner
from steersman.manifests import Sourced, Text
from steersman.planning.inventory import INVENTORY, Key, key_of, marked

ReadSecrets = Callable[[Sequence[Sourced]], Awaitable[tuple[Sourced, ...]]]


class Hands(Protocol):
    """What of a `Controller` is needed, wherever it runs."""

    @property
    def pruner(self) -> Pruner: ...

    async def apply(
        self, sourced: Sequence[Sourced], *, inventory: str | None = None
    ) -> Applied: ...


class Installed(SteersmanError):
    """An installation of that name is there already."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"installation {name} is there already; change it with `steer chart upgrade {name} "
            "CHART`, or install under another name"
        )


class NotOurs(SteersmanError):
    """What a chart makes is there already, and was not made by this installation."""

    def __init__(self, name: str, taken: Sequence[str]) -> None:
        super().__init__(
            f"installation {name} cannot have {', '.join(taken)}; install under another name, "
            "delete what is there, or let the installation have it with --take-ownership"
        )


@dataclass(frozen=True, slots=True)
class Wish:
    """A revision to come: what to apply, and what to remember of it."""

    name: str
    revision: int
    chart: ChartVersion
    values: dict[str, object]
    manifests: tuple[RenderedManifest, ...]
    objects: tuple[Sourced, ...] = field(repr=False)
    base_dir: Path
    notes: str = ""
    description: str = ""

    @property
    def marked_objects(self) -> tuple[Sourced, ...]:
        """The objects as members of the installation."""
        mine = inventory(self.name)
        return tuple(replace(each, obj=marked(each.obj, mine)) for each in self.objects)

    @property
    def keys(self) -> frozenset[Key]:
        """What the installation has when the revision is there."""
        return frozenset(key_of(each.obj) for each in self.objects) | {_nothing(self.name)}

    @property
    def spec(self) -> InstallationSpec:
        """What is remembered."""
        keys = tuple(str(key_of(each.obj)) for each in self.objects)
        text = "\0".join(f"{each.template}\0{each.text}" for each in self.manifests)
        return InstallationSpec(
            installation=self.name,
            revision=self.revision,
            chart=self.chart,
            values=self.values,
            manifests=self.manifests,
            digest=hashlib.sha256(text.encode()).hexdigest(),
            objects=keys,
            base_dir=str(self.base_dir),
            notes=self.notes,
            description=self.description,
        )


@dataclass(frozen=True, slots=True)
class Done:
    """How a revision went; `error` is why nothing was applied. `taken_back` is the revision that
    an atomic upgrade ended with instead, or None where it went well or nothing was there before."""

    revision: Installation
    applied: Applied | None = None
    pruned: Pruned = field(default_factory=Pruned)
    error: SteersmanError | None = None
    taken_back: Done | None = None

    @property
    def is_applied(self) -> bool:
        """Whether everything of the revision is as wanted."""
        return self.applied is not None and self.applied.is_good

    @property
    def is_good(self) -> bool:
        """Whether what is no more part of it is gone, too."""
        return self.is_applied and not self.pruned.errors


class Charts:
    """Over a store and a controller, wherever they are: everything is rendered before."""

    def __init__(self, store: Objects, hands: Hands, read_secrets: ReadSecrets) -> None:
        self.installations = Installations(store)
        self._store = store
        self._hands = hands
        self._read_secrets = read_secrets

    async def before_install(self, name: str) -> int:
        """Return the number of the first revision; raises Installed."""
        history = await self.installations.settle(name)
        # A first attempt that failed is tried again as it was meant.
        if is_installed(history) and last_good(history) is not None:
            raise Installed(name)
        return _next(history)

    async def before_upgrade(self, name: str) -> tuple[int, Installation]:
        """Return the number of the next revision, and the one whose values may be kept: the last
        good one, if there is one. Raises NotInstalled."""
        history = await self.installations.settle(name)
        if not is_installed(history):
            raise NotInstalled(name)
        return _next(history), last_good(history) or history[-1]

    async def put(self, wish: Wish, *, is_atomic: bool = False, takes_over: bool = False) -> Done:
        """Apply a revision, prune what it has no more, and remember how it went.

        An atomic one that fails is taken back: by the last good revision, or by removing all.
        """
        history = await self.installations.settle(wish.name)
        if not takes_over:
            await self._refuse_others(wish)
        done = await self._applied(wish)
        if done.is_applied or not is_atomic:
            return done
        good = last_good(history)
        if good is None:
            # What was there of it must be gone; that it failed stays to be read.
            return replace(done, pruned=await self._remove(wish.name))
        back = self._again(good, wish.revision + 1, f"Rollback to {good.spec.revision}")
        return replace(done, taken_back=await self._applied(back))

    async def rollback(self, name: str, number: int | None) -> Done:
        """Apply an older revision as a new one: the last good one before, if none is named."""
        history = await self.installations.settle(name)
        if not history:
            raise NotInstalled(name)
        chosen = one_before(history) if number is None else revision_of(history, name, number)
        if chosen is None:
            raise NotInstalled(name, "has no good revision to go back to")
        description = f"Rollback to {chosen.spec.revision}"
        return await self._applied(self._again(chosen, _next(history), description))

    async def uninstall(self, name: str, *, keeps_history: bool) -> Pruned:
        """Remove all that an installation has; what is protected or needed stays, and is named."""
        history = await self.installations.settle(name)
        if not history or (keeps_history and not is_installed(history)):
            raise NotInstalled(name)
        pruned = await self._remove(name)
        if pruned.errors:
            return pruned
        if keeps_history:
            await self.installations.give_up(name)
        else:
            await self.installations.forget(name)
        return pruned

    async def _applied(self, wish: Wish) -> Done:
        async with self.installations.under_way(wish.spec) as revision:
            try:
                objects = await self._read_secrets(wish.objects)
                applied = await self._hands.apply(objects, inventory=inventory(wish.name))
            except SteersmanError as error:
                await self.installations.mark(revision, "failed", str(error))
                return Done(revision, error=error)
            if not applied.is_good:
                await self.installations.mark(revision, "failed", _first_fault(applied))
                return Done(revision, applied)
            pruned = await self._hands.pruner.prune(inventory(wish.name), wish.keys)
            await self.installations.supersede(revision)
        return Done(revision, applied, pruned)

    async def _remove(self, name: str) -> Pruned:
        """Remove all that an installation has."""
        return await self._hands.pruner.prune(inventory(name), {_nothing(name)})

    async def _refuse_others(self, wish: Wish) -> None:
        taken = []
        for each in wish.objects:
            stored = await self._store.get(each.obj.kind, each.obj.name)
            if stored is None:
                continue
            owner = (stored.metadata.get("annotations") or {}).get(INVENTORY)
            if owner != inventory(wish.name):
                whose = f"belongs to {owner}" if owner else "was applied by itself"
                taken.append(f"{key_of(each.obj)}, which {whose}")
        if taken:
            raise NotOurs(wish.name, taken)

    def _again(self, old: Installation, number: int, description: str) -> Wish:
        """Return a revision once more, as it was rendered."""
        spec = old.spec
        base_dir = Path(spec.base_dir)
        texts = [
            Text(f"revision {spec.revision} of {spec.installation}: {each.template}", base_dir,
                 each.text)
            for each in spec.manifests
        ]  # fmt: skip
        return Wish(
            name=spec.installation,
            revision=number,
            chart=spec.chart,
            values=dict(spec.values),
            manifests=spec.manifests,
            objects=objects_in(spec.chart.name, texts).objects,
            base_dir=base_dir,
            notes=spec.notes,
            description=description,
        )


def inventory(name: str) -> str:
    """Return the inventory that the objects of an installation belong to."""
    return f"chart/{name}"


def _nothing(name: str) -> Key:
    # An empty set empties no inventory; one with a key of nothing's does, and here that is meant.
    return Key(KIND, name)


def _next(history: Sequence[Installation]) -> int:
    return history[-1].spec.revision + 1 if history else 1


def _first_fault(applied: Applied) -> str:
    errors = [job.error for job in applied.jobs]
    for outcome in applied.outcomes:
        errors += [outcome.error, *(host.error for host in outcome.hosts)]
    return next((str(error) for error in errors if error is not None), "")
