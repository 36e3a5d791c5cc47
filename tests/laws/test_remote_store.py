"""A store behind the API keeps the laws of stores, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from laws.daemon import Daemon, daemon
from steersman.client.contexts import Context
from steersman.client.store import RemoteStore
from steersman.client.work import attached
from steersman.control.report import Silent
from steersman.server.parts import Parts
from steersman.server.resources import RESOURCES, Resource
from steersman.store.protocol import ObjectStore
from steersman.testing.store_laws import StoreLaws


def as_they_come(parts: Parts) -> None:
    """Have every kind stored as it comes: laws are about stores, not about what Apps are."""
    parts.resources = {
        kind: Resource(kind, each.model, is_written=True, is_plain=kind != "Event")
        for kind, each in RESOURCES.items()
    }


class TestRemote(StoreLaws):
    @pytest.fixture
    async def served(self, tmp_path: Path) -> AsyncIterator[Daemon]:
        async with daemon(tmp_path / "s", change=as_they_come) as one:
            yield one

    @pytest.fixture
    async def store(self, served: Daemon) -> AsyncIterator[RemoteStore]:
        async with attached(Context("laws", f"unix://{served.socket}"), Silent()) as remote:
            yield remote.store

    @pytest.fixture
    async def peer(self, served: Daemon) -> AsyncIterator[RemoteStore]:
        async with attached(Context("laws", f"unix://{served.socket}"), Silent()) as remote:
            yield remote.store

    @pytest.fixture
    def forget(self, store: ObjectStore, served: Daemon) -> Callable[[], Awaitable[object]]:
        return cast(Callable[[], Awaitable[object]], served.parts.store.compact)
