"""Stores that are broken on purpose: laws that they pass would be worth nothing."""

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from steersman.store.errors import Compacted
from steersman.store.feed import Feed
from steersman.store.memory import MemoryStore
from steersman.store.pages import Place
from steersman.store.protocol import EVERYTHING, Object, Page, Query, Store, Stored
from steersman.store.tables import Logged
from steersman.testing import samples, watch_laws
from steersman.testing.store_laws import StoreLaws
from steersman.testing.store_machine import StoreMachine


class _SkippingFeed(Feed):
    """Does not tell every seventh change."""

    def after(self, revision: int) -> Logged | None:
        return super().after(revision + ((revision + 1) % 7 == 0))


class LosesChanges(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self._feed = _SkippingFeed(self)


class _RepeatingFeed(Feed):
    """Tells every seventh change twice."""

    def __init__(self, source: MemoryStore) -> None:
        super().__init__(source)
        self._told = set[int]()

    def after(self, revision: int) -> Logged | None:
        if revision % 7 == 0 and revision not in self._told:
            self._told.add(revision)
            revision -= 1
        return super().after(revision)


class RepeatsChanges(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self._feed = _RepeatingFeed(self)


class HidesThatItForgot(MemoryStore):
    """Tells what it still has, as if that were all."""

    async def changes_after(self, since: int, limit: int) -> Sequence[Logged]:
        return await super().changes_after(max(self._compacted, since), limit)


class MixesPages(MemoryStore):
    """Goes on with what there is now."""

    async def page(
        self, query: Query = EVERYTHING, limit: int | None = None, token: str | None = None
    ) -> Page:
        if token is not None:
            place = Place.read(token)
            token = replace(place, revision=self._revision).token
            return replace(await super().page(query, limit, token), revision=place.revision)
        return await super().page(query, limit, token)


class ForgetsObjects(MemoryStore):
    """Forgets objects with their history."""

    async def compact(self, keep: int = 0) -> int:
        before = self._compacted
        oldest = await super().compact(keep)
        old = {key for key, held in self._held.items() if held.row.resource_version <= before}
        self._held = {key: held for key, held in self._held.items() if key not in old}
        return oldest


class BelievesEverybody(MemoryStore):
    """Does not look at the version that a writer expects."""

    async def put(self, target: Object, *_: Any, **options: Any) -> Stored:
        options.pop("expected_resource_version", None)
        return await super().put(target, **options)


class AlwaysForces(MemoryStore):
    async def apply(self, target: Object, manager: str, **options: Any) -> Stored:
        return await super().apply(target, manager, **{**options, "force": True})


class NeverTries(MemoryStore):
    """Does what it was asked to try."""

    async def put(self, target: Object, *rest: Any, **options: Any) -> Stored:
        return await super().put(target, *rest, **{**options, "dry_run": False})


class IgnoresFinalizers(MemoryStore):
    async def delete(self, kind: str, name: str, *rest: Any, **options: Any) -> Stored | None:
        stored = await self.get(kind, name)
        if stored is not None and stored.metadata.get("finalizers") and not options.get("dry_run"):
            bare = {**stored.metadata, "finalizers": []}
            await super().put({**stored.object, "metadata": bare})
        return await super().delete(kind, name, *rest, **options)


class AlwaysOrphans(MemoryStore):
    async def delete(self, kind: str, name: str, *rest: Any, **options: Any) -> Stored | None:
        return await super().delete(kind, name, *rest, **{**options, "propagation": "orphan"})


Broken = type[MemoryStore]

CAUGHT: list[tuple[Broken, str]] = [
    (LosesChanges, "test_nobody_misses_a_change_however_many_write"),
    (RepeatsChanges, "test_nobody_misses_a_change_however_many_write"),
    (HidesThatItForgot, "test_what_is_forgotten_is_gone_and_said_to_be"),
    (HidesThatItForgot, "test_who_is_too_slow_hears_so_and_never_gets_a_part"),
    (MixesPages, "test_pages_go_on_at_the_revision_they_began_with"),
    (ForgetsObjects, "test_nothing_is_lost_by_forgetting"),
    (BelievesEverybody, "test_a_stale_writer_is_refused_by_both_versions"),
    (AlwaysForces, "test_a_conflict_names_every_field_and_its_owners"),
    (NeverTries, "test_a_dry_run_answers_and_changes_nothing"),
    (IgnoresFinalizers, "test_a_finalizer_holds_until_it_is_removed"),
    (AlwaysOrphans, "test_dependents_go_with_their_owner"),
]


@pytest.mark.parametrize(("broken", "law"), CAUGHT)
async def test_a_law_fails_it(broken: Broken, law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await obey(law, MemoryStore())
    # What never comes is not waited for.
    monkeypatch.setattr(samples, "WITHIN", 0.5)
    monkeypatch.setattr(watch_laws, "WITHIN", 0.5)
    with pytest.raises((AssertionError, TimeoutError, pytest.fail.Exception)):
        await obey(law, broken())


@pytest.mark.parametrize(
    "broken",
    [MixesPages, ForgetsObjects, AlwaysForces, IgnoresFinalizers, AlwaysOrphans],
)
def test_chance_finds_it(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "WITHIN", 0.5)

    class Machine(StoreMachine):
        opened: ClassVar[Callable[[], AbstractAsyncContextManager[Store]]] = staticmethod(
            asynccontextmanager(lambda: opened(broken))
        )

    quick = settings(
        max_examples=200,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((AssertionError, TimeoutError, Compacted)):
        run_state_machine_as_test(Machine, settings=quick)


async def obey(law: str, store: MemoryStore) -> None:
    """Put a store under one law, with what the law asks for."""
    given = {"store": store, "peer": store, "forget": store.compact}
    method = getattr(StoreLaws(), law)
    await method(**{name: given[name] for name in inspect.signature(method).parameters})


async def opened(broken: Broken) -> AsyncIterator[Store]:
    store = broken()
    yield store
    await store.close()
