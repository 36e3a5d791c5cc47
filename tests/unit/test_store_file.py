"""The file itself: its place, its schema, its damage, its speed."""

import asyncio
import os
import sqlite3
import stat
from operator import methodcaller
from pathlib import Path

import apsw
import pytest

from steersman.store.database import Database, migrate, translated
from steersman.store.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreTooNew,
    StoreUnsafe,
)
from steersman.store.migrations import MIGRATIONS
from steersman.store.paths import filesystem_of, state_dir
from steersman.store.sqlite import SqliteStore

HOST = {"apiVersion": "steersman/v1", "kind": "Host", "metadata": {"name": "h1"}, "spec": {}}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_place_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state_dir() == tmp_path / ".local/state/steersman"
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/invalid")
    assert state_dir() == tmp_path / ".local/state/steersman"
    monkeypatch.setenv("XDG_STATE_HOME", "/var/lib/me")
    assert state_dir() == Path("/var/lib/me/steersman")


async def test_only_the_owner_may_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with SqliteStore(tmp_path / "state") as store:
            await store.put(HOST)
            found = {file.name: mode(file) for file in (tmp_path / "state").iterdir()}
    finally:
        os.umask(before)
    assert found == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    assert mode(tmp_path / "state") == 0o700


async def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StoreUnsafe, match=rf"mode 0777.*chmod 700 {tmp_path}"):
        await SqliteStore(tmp_path).open()


async def test_a_link_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="not a regular file"):
        await SqliteStore(tmp_path).open()
    assert not (tmp_path / "elsewhere").exists()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/state/state\.db.*--state-dir"):
        await SqliteStore(tmp_path / "file" / "state").open()


def test_the_file_system_is_read_from_the_mount_table(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "40 22 0:50 / /home rw shared:9 master:2 - nfs4 server:/home rw\n"
    )
    assert filesystem_of(os.makedev(0, 50), table) == "nfs4"
    assert filesystem_of(os.makedev(8, 1), table) == "ext4"
    assert filesystem_of(os.makedev(9, 9), table) is None
    assert filesystem_of(os.makedev(9, 9), tmp_path / "absent") is None


async def test_the_settings_that_durability_stands_on(tmp_path: Path) -> None:
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "cell_size_check": 1,
        "secure_delete": 1,
        "busy_timeout": 10_000,
    }
    async with Database(tmp_path / "state.db") as database:
        for name, value in wanted.items():
            found = await database.bare(methodcaller("pragma", name))
            assert found == value, name


async def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    await (await SqliteStore(tmp_path).open()).close()
    with sqlite3.connect(tmp_path / "state.db") as raw:
        raw.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    raw.close()
    with pytest.raises(StoreTooNew, match=r"schema 3.*knows up to 2; upgrade steersman"):
        await SqliteStore(tmp_path).open()


async def test_a_strangers_database_is_refused_untouched(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "state.db") as raw:
        raw.execute("CREATE TABLE bookmarks (url TEXT)")
    raw.close()
    before = (tmp_path / "state.db").read_bytes()
    with pytest.raises(StoreDamaged, match="some other program's"):
        await SqliteStore(tmp_path).open()
    assert (tmp_path / "state.db").read_bytes() == before


async def test_damage_is_found_at_open(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        for number in range(200):
            padding = {"padding": "x" * 500}
            await store.put({**HOST, "metadata": {"name": f"h{number}"}, "spec": padding})
    file = tmp_path / "state.db"
    whole = file.read_bytes()
    half = len(whole) // 2 // 4096 * 4096
    file.write_bytes(whole[:half] + b"\xff" * 4096 + whole[half + 4096 :])
    with pytest.raises(StoreDamaged, match=r"state\.db: it is damaged.*restore a copy"):
        await SqliteStore(tmp_path).open()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("dear diary, " * 100)
    with pytest.raises(StoreDamaged, match="not a SQLite database"):
        await SqliteStore(tmp_path).open()


async def test_a_migration_happens_whole_or_not_at_all(tmp_path: Path) -> None:
    steps = (*MIGRATIONS, "CREATE TABLE extra (a TEXT)", "CREATE TABLE extra (again TEXT)")
    async with Database(tmp_path / "state.db") as database:
        with pytest.raises(StoreError, match="extra already exists"):
            await database.write(lambda session: migrate(session, database.path, steps))
        version = await database.read(lambda session: session.row("PRAGMA user_version"))
        tables = await database.read(lambda s: s.rows("SELECT name FROM sqlite_master"))
        assert version == (len(MIGRATIONS),)
        assert ("extra",) not in tables
        await database.write(lambda session: migrate(session, database.path, steps[:-1]))
        assert await database.read(lambda session: session.rows("SELECT a FROM extra")) == []


async def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def half(session: object) -> None:
        session.run("INSERT INTO counters VALUES ('half', 1)")  # type: ignore[attr-defined]
        raise RuntimeError("on purpose")

    async with Database(tmp_path / "state.db") as database:
        with pytest.raises(RuntimeError):
            await database.write(half)
        query = "SELECT * FROM counters WHERE name = 'half'"
        assert await database.read(lambda session: session.row(query)) is None


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    database = await Database(tmp_path / "state.db").open()
    await database.close()
    for call in (database.read, database.write, database.bare):
        with pytest.raises(StoreError, match="it is closed; open the store"):
            await call(lambda session: None)


def test_every_error_of_sqlite_is_translated(tmp_path: Path) -> None:
    kinds = [
        kind
        for kind in vars(apsw).values()
        if isinstance(kind, type) and issubclass(kind, apsw.Error)
    ]
    assert len(kinds) > 30
    for kind in kinds:
        ours = translated(tmp_path, kind("why"))
        assert str(tmp_path) in str(ours), kind
        assert "why" in str(ours), kind
    assert isinstance(translated(tmp_path, apsw.BusyError()), StoreBusy)
    assert isinstance(translated(tmp_path, apsw.FullError()), StoreFull)
    assert translated(tmp_path, apsw.FullError()).retryable
    assert not translated(tmp_path, apsw.SQLError()).retryable


async def test_a_full_disk_is_an_error_and_not_a_loss(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        await store.put(HOST)
        database = store._database
        pages = await database.bare(lambda connection: connection.pragma("page_count"))
        await database.bare(lambda connection: connection.pragma("max_page_count", pages))
        big = {**HOST, "metadata": {"name": "big"}, "spec": {"x": "y" * 100_000}}
        with pytest.raises(StoreFull, match="disk is full"):
            await store.put(big)
        assert await store.get("Host", "big") is None
        await database.bare(lambda connection: connection.pragma("max_page_count", 100_000))
        assert (await store.put(big)).resource_version == 2


async def test_the_loop_runs_on_while_the_file_is_locked(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        other = apsw.Connection(str(tmp_path / "state.db"))
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(store.put(HOST))
        reading = asyncio.create_task(asyncio.sleep(0))
        await reading
        assert not waiting.done()
        other.execute("ROLLBACK")
        other.close()
        assert (await waiting).change == "created"
