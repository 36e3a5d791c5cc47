"""The history of a SQLite file: followed across processes, kept short, and brought along."""

import asyncio
import json
import sqlite3
import sys
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from steersman.api.objects import parse_object
from steersman.store import history
from steersman.store.errors import Compacted, StoreError
from steersman.store.migrations import APPLICATION_ID, MIGRATIONS
from steersman.store.protocol import Change, Query, Watch
from steersman.store.sqlite import SqliteStore
from steersman.store.versions import Retention
from steersman.testing.samples import WITHIN, app, host, take, told
from steersman.testing.watch_laws import many_changes

OTHER = """
import asyncio, sys
from pathlib import Path
from steersman.store.sqlite import SqliteStore
from steersman.testing.samples import app, host

async def main():
    async with SqliteStore(Path(sys.argv[1])) as store:
        for line in sys.stdin:
            await store.put(app(count=int(line)))
            await store.delete("Host", "h1")
            await store.put(host())

asyncio.run(main())
"""


async def test_what_another_process_writes_is_seen_among_ones_own(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        begin = await store.revision()
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", OTHER, str(tmp_path)), stdin=asyncio.subprocess.PIPE
        )
        assert other.stdin is not None
        async with aclosing(store.watch(begin)) as changes, asyncio.timeout(WITHIN):
            other.stdin.write(b"1\n")
            seen = await take(changes, 2)
            assert told(seen) == ["ADDED App/shop", "ADDED Host/h1"]
            for count in range(2, 12):
                other.stdin.write(b"%d\n" % count)
                await other.stdin.drain()
                await store.put(app("mine", count=count))
            other.stdin.close()
            assert await other.wait() == 0
            end = await store.revision()
            seen += await take(changes, end - begin - len(seen))
        assert [one.revision for one in seen] == list(range(begin + 1, end + 1))
        mine = [one.object for one in seen if one.name == "mine"]
        assert mine[-1] == (await store.list("App"))[0].object


async def test_nobody_looks_at_the_file_while_nobody_watches(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        await store.put(app())
        before = store._history.is_following
        watch = store.watch(0)
        await take(watch, 1)
        assert (before, store._history.is_following) == (False, True)
        await watch.aclose()
        async with asyncio.timeout(WITHIN):
            while store._history.is_following:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        # And somebody who comes later is told again.
        async with aclosing(store.watch(await store.revision())) as changes:
            await store.put(host())
            assert told(await take(changes, 1)) == ["ADDED Host/h1"]


async def test_a_file_that_nobody_writes_to_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_REST", 3600.0)
    async with (
        SqliteStore(tmp_path) as store,
        SqliteStore(tmp_path) as other,
        aclosing(store.watch(0)) as changes,
        asyncio.timeout(WITHIN),
    ):
        waiting = asyncio.create_task(take(changes, 1))
        await resting(store)
        # The system tells of what another one writes.
        await other.put(app())
        assert told(await waiting) == ["ADDED App/shop"]


async def test_where_the_system_tells_of_no_writes_the_file_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(path: Path) -> None:
        raise OSError("no inotify")

    monkeypatch.setattr(history, "_REST", 3600.0)
    monkeypatch.setattr(history, "Touches", lacking)
    async with (
        SqliteStore(tmp_path) as store,
        SqliteStore(tmp_path) as other,
        aclosing(store.watch(0)) as changes,
        asyncio.timeout(WITHIN),
    ):
        waiting = asyncio.create_task(take(changes, 1))
        await waiting_in(store)
        await other.put(app())
        assert told(await waiting) == ["ADDED App/shop"]


async def test_closing_the_store_ends_every_watch(tmp_path: Path) -> None:
    store = await SqliteStore(tmp_path).open()
    made = await store.put(app())
    watches = [store.watch(made.resource_version) for _ in range(3)]
    waiting = [asyncio.create_task(rest_of(watch)) for watch in watches]
    await waiting_in(store)
    await store.close()
    assert await asyncio.wait_for(asyncio.gather(*waiting), WITHIN) == [[]] * 3


async def test_ending_a_watch_frees_who_waits_in_it(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        watch = store.watch(await store.revision())
        waiting = asyncio.create_task(rest_of(watch))
        await waiting_in(store)
        await watch.aclose()
        assert await asyncio.wait_for(waiting, WITHIN) == []


async def test_a_cancelled_watcher_loses_nothing(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store, aclosing(store.watch(0)) as changes:
        waiting = asyncio.create_task(take(changes, 1))
        await waiting_in(store)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await store.put(app())
        assert told(await take(changes, 1)) == ["ADDED App/shop"]


async def test_who_watches_hears_when_the_file_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteStore(tmp_path) as store:
        watch = store.watch(await store.revision())
        waiting = asyncio.create_task(rest_of(watch))
        await waiting_in(store)
        await store.put_secret("so that there is", {"something": "to look at"})

        async def fail(*_: Any) -> None:
            raise StoreError(store.path, "the disk is gone", "look for it")

        monkeypatch.setattr(store._database, "bare", fail)
        with pytest.raises(StoreError, match="the disk is gone"):
            await asyncio.wait_for(waiting, WITHIN)


async def test_who_is_too_slow_is_told_and_not_served(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store, aclosing(store.watch(0)) as changes:
        await store.put(app())
        await take(changes, 1)
        await many_changes(store)
        await store.compact()
        with pytest.raises(Compacted):
            await take(changes, 1)


async def test_the_log_is_bounded_by_count(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path, retention=Retention(changes=300)) as store:
        first = await store.put(app())
        await store.put(host())
        await many_changes(store)
        end = await store.revision()
        await refused(store.watch(first.resource_version))
        async with aclosing(store.watch(end - 300)) as changes:
            assert len(await take(changes, 300)) == 300
        assert [one.name for one in (await store.page()).items] == ["shop", "h1"]
        rows = await store._database.read(lambda s: s.rows("SELECT revision FROM versions"))
        assert len(rows) <= 300 + 256 + 2


async def test_the_log_is_bounded_by_age(tmp_path: Path) -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    async with SqliteStore(tmp_path, lambda: now) as store:
        old = await store.put(app())
        now += timedelta(hours=2)
        recent = await store.put(host())
        await many_changes(store)
        await refused(store.watch(old.resource_version - 1))
        async with aclosing(store.watch(old.resource_version)) as changes:
            assert (await take(changes, 1))[0].object == recent.object


async def test_what_a_kept_page_shows_is_kept(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        before = [await store.put(app("a")), await store.put(app("b"))]
        first = await store.page(limit=1)
        await store.put(app("b", count=2))
        await store.put(app("b", count=3))
        assert await store.compact(keep=2) == first.revision
        second = await store.page(token=first.token)
        assert [one.object for one in first.items + second.items] == [one.object for one in before]
        async with aclosing(store.watch(first.revision)) as changes:
            assert told(await take(changes, 2)) == ["MODIFIED App/b"] * 2


async def test_a_file_of_the_first_schema_is_brought_along(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    old = {
        "App/shop": stored(app(), 3),
        "Host/h1": stored(host(), 7),
        "Release/shop-1": stored(release(), 9),
    }
    with sqlite3.connect(tmp_path / "state.db") as raw:
        raw.executescript(MIGRATIONS[0])
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute("PRAGMA user_version = 1")
        for one in old.values():
            key = one["kind"], one["metadata"]["name"]
            body = json.dumps(one, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            raw.execute(
                "INSERT INTO objects VALUES (?, ?, ?, ?)",
                (*key, one["metadata"]["resourceVersion"], body),
            )
        raw.execute("UPDATE counters SET value = 12 WHERE name = 'resource_version'")
        raw.execute("UPDATE counters SET value = 5 WHERE name = 'epoch'")
        raw.executemany(
            "INSERT INTO events VALUES (NULL, ?, ?, 'Normal', 'Seen', 'again', ?, 2, ?, ?)",
            [
                ("Host", "h" * 63, None, "2026-11-01T12:00:00.000000Z", "2026-11-01T12:30:00Z"),
                ("App", "shop", "h1", "2026-11-01T12:00:00.000000Z", "2026-11-01T12:30:00Z"),
            ],
        )
    raw.close()
    async with SqliteStore(tmp_path) as store:
        assert await store.revision() == 14
        page = await store.page(Query.of("App", "Host", "Release"))
        assert {f"{one.kind}/{one.name}": one.object for one in page.items} == old
        events = await store.list("Event")
        assert [one.name for one in events] == [f"{'h' * 50}-1", "shop-2"]
        for event in events:
            parse_object(event.object)
        assert [event.spec.get("host") for event in events] == [None, "h1"]
        assert [event.id for event in await store.events()] == [1, 2]
        assert await store.next_epoch() == 6
        again = await store.put(old["Host/h1"], 7)
        assert again.change == "unchanged"
        await refused(store.watch(12))
        async with aclosing(store.watch(14)) as changes:
            await store.delete("App", "shop")
            assert told(await take(changes, 2)) == ["DELETED App/shop", "DELETED Release/shop-1"]
        counted = await store.add_event("App", "shop", "Normal", "Seen", "later", "h1")
        assert counted.id == 3


def stored(obj: dict[str, Any], version: int) -> dict[str, Any]:
    owned = {
        "uid": f"uid-{version}",
        "generation": 1,
        "resourceVersion": version,
        "creationTimestamp": "2026-11-01T12:00:00Z",
    }
    return {**obj, "metadata": {**obj["metadata"], **owned}}


def release() -> dict[str, Any]:
    owner = {"kind": "App", "name": "shop", "uid": "uid-3"}
    metadata = {"name": "shop-1", "ownerReferences": [owner], "labels": {"ü": "ö"}}
    spec = {"app": "shop", "rate": 0.00001}
    return {
        "apiVersion": "steersman/v1",
        "kind": "Release",
        "metadata": metadata,
        "spec": spec,
        "status": {"state": "deployed"},
    }


async def resting(store: SqliteStore) -> None:
    """Return once the file will not be looked at for long."""
    loop = asyncio.get_running_loop()
    while (timer := store._history._timer) is None or timer.when() < loop.time() + 60:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def waiting_in(store: SqliteStore) -> None:
    """Come back when somebody waits for a change."""
    async with asyncio.timeout(WITHIN):
        while not store._history.feed._waiting:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def rest_of(watch: Watch) -> list[Change]:
    return [change async for change in watch]


async def refused(watch: Watch) -> None:
    async with aclosing(watch) as changes:
        with pytest.raises(Compacted):
            await take(changes, 1)
