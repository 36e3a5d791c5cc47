"""Every store that we ship keeps the laws, and stores that are broken on purpose do not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from steersman.store.memory import MemoryStore
from steersman.store.sqlite import SqliteStore
from steersman.testing.controller_laws import ControllerLaws
from steersman.testing.store_laws import StoreLaws


class TestMemory(StoreLaws, ControllerLaws):
    @pytest.fixture
    async def store(self) -> AsyncIterator[MemoryStore]:
        opened = MemoryStore()
        yield opened
        await opened.close()


class TestSqlite(StoreLaws, ControllerLaws):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteStore]:
        async with SqliteStore(tmp_path / "state") as opened:
            yield opened


class TestSqliteOfTwo(TestSqlite):
    """The file is open twice: what the one writes, the other sees and watches."""

    @pytest.fixture
    async def peer(self, store: SqliteStore) -> AsyncIterator[SqliteStore]:
        async with SqliteStore(store.path.parent) as opened:
            yield opened
