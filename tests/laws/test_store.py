"""Every store that we ship keeps the laws, and stores that are broken on purpose do not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from steersman.store.memory import MemoryStore
from steersman.store.protocol import Store
from steersman.store.sqlite import SqliteStore
from steersman.testing.controller_laws import ControllerLaws
from steersman.testing.store_laws import StoreLaws
from steersman.testing.store_machine import StoreMachine


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


class MemoryMachine(StoreMachine):
    @staticmethod
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        store = MemoryStore()
        yield store
        await store.close()


class SqliteMachine(StoreMachine):
    @staticmethod
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        with TemporaryDirectory() as folder:
            async with SqliteStore(Path(folder)) as store:
                yield store


TestMemoryAtRandom = MemoryMachine.TestCase
TestMemoryAtRandom.settings = settings(max_examples=60, stateful_step_count=30)
TestSqliteAtRandom = SqliteMachine.TestCase
TestSqliteAtRandom.settings = settings(max_examples=20, stateful_step_count=30)
