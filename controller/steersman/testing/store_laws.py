"""The laws of stores: whatever holds the objects, it passes these, or it is no store.

Subclass `StoreLaws` in your tests, with a fixture `store` that gives an empty, open store. What
is asked and answered is a store's own; nothing is assumed of processes, files or threads.
"""

from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from steersman.store.protocol import ObjectStore, Store
from steersman.testing.apply_laws import ApplyLaws
from steersman.testing.deletion_laws import DeletionLaws
from steersman.testing.object_laws import ObjectLaws
from steersman.testing.page_laws import PageLaws
from steersman.testing.watch_laws import WatchLaws

__all__ = ["StoreLaws"]


class StoreLaws(ObjectLaws, PageLaws, WatchLaws, DeletionLaws, ApplyLaws):
    """What every `ObjectStore` promises. Override the fixtures that do not fit yours."""

    @pytest.fixture
    def store(self) -> ObjectStore:
        """An empty, open store."""
        raise NotImplementedError("give your test class a fixture `store`")

    @pytest.fixture
    def peer(self, store: ObjectStore) -> ObjectStore:
        """The same objects, as somebody else has them open."""
        return store

    @pytest.fixture
    def forget(self, store: ObjectStore) -> Callable[[], Awaitable[object]]:
        """How to make the store forget every change so far; a store's own `compact`."""
        return cast(Store, store).compact
