"""What watch promises: every change after a revision, in order, none lost and none twice."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from steersman.store.errors import Compacted
from steersman.store.protocol import Change, Object, ObjectStore, Query, Watch
from steersman.store.selectors import FieldSelector, Selector
from steersman.testing.samples import WITHIN, app, host, kept, take, told


class WatchLaws:
    """Needs `store`, `peer` (the same data, as somebody else has it open) and `forget`."""

    async def test_changes_come_in_order_with_their_objects(
        self, store: ObjectStore, peer: ObjectStore
    ) -> None:
        async with aclosing(store.watch(await store.revision())) as changes:
            added = await peer.put(app())
            seen = await take(changes, 1)
            # From here on somebody watches while it happens.
            status = await peer.put_status("App", "shop", {"observedGeneration": 1})
            seen += await take(changes, 1)
            await peer.delete("App", "shop")
            seen += await take(changes, 1)
        assert told(seen) == ["ADDED App/shop", "MODIFIED App/shop", "DELETED App/shop"]
        assert [one.revision for one in seen] == [
            added.resource_version,
            added.resource_version + 1,
            added.resource_version + 2,
        ]
        assert [one.object for one in seen[:2]] == [added.object, status.object]
        assert [one.stored.resource_version for one in seen] == [one.revision for one in seen]
        assert seen[2].object["status"] == {"observedGeneration": 1}

    async def test_the_past_is_told_first(self, store: ObjectStore) -> None:
        begin = await store.revision()
        first = await store.put(app("a"))
        await store.put(app("b"))
        async with aclosing(store.watch(begin)) as all_, aclosing(store.watch(begin + 1)) as later:
            assert told(await take(all_, 2)) == ["ADDED App/a", "ADDED App/b"]
            assert told(await take(later, 1)) == ["ADDED App/b"]
            await store.put(app("c"))
            assert told(await take(all_, 1)) == told(await take(later, 1)) == ["ADDED App/c"]
        assert begin + 1 == first.resource_version

    async def test_what_changes_nothing_is_not_told(self, store: ObjectStore) -> None:
        async with aclosing(store.watch(await store.revision())) as changes:
            await store.put(app())
            await take(changes, 1)
            waiting = asyncio.create_task(take(changes, 1))
            await store.put(app())
            await store.put(app(count=9), dry_run=True)
            await store.delete("App", "shop", dry_run=True)
            await store.delete("App", "gone")
            made = await store.put(host())
            (seen,) = await waiting
            assert (told([seen]), seen.object) == (["ADDED Host/h1"], made.object)

    async def test_a_watch_and_a_list_agree(self, store: ObjectStore, peer: ObjectStore) -> None:
        begin = await store.page()
        known = {(one.kind, one.name): one.object for one in begin.items}
        async with aclosing(store.watch(begin.revision)) as changes:
            for number in range(40):
                writer = (store, peer)[number % 2]
                await writer.put(app(f"a{number % 7}", count=number))
                await writer.put(host(f"h{number % 5}", address=f"192.0.2.{number}"))
                if number % 3 == 0:
                    await writer.delete("App", f"a{number % 4}")
            end = await store.page()
            for change in await take(changes, end.revision - begin.revision):
                replay(known, change)
        assert known == {(one.kind, one.name): one.object for one in end.items}

    async def test_nobody_misses_a_change_however_many_write(
        self, store: ObjectStore, peer: ObjectStore
    ) -> None:
        begin = await store.revision()

        async def write(writer: ObjectStore, number: int) -> None:
            for step in range(20):
                await writer.put(app(f"a{number}", count=step + 1))

        async def listen(since: int, count: int) -> list[int]:
            async with aclosing(store.watch(since)) as changes:
                return [one.revision for one in await take(changes, count)]

        early = [asyncio.create_task(listen(begin, 121)) for _ in range(4)]
        writers = [
            asyncio.create_task(write((store, peer)[number % 2], number)) for number in range(6)
        ]
        middle = (await store.put(host())).resource_version
        late = asyncio.create_task(listen(middle, begin + 121 - middle))
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*writers)
            assert await asyncio.gather(*early) == [list(range(begin + 1, begin + 122))] * 4
            assert await late == list(range(middle + 1, begin + 122))

    async def test_only_the_kinds_asked_for_are_told(self, store: ObjectStore) -> None:
        begin = await store.revision()
        async with aclosing(store.watch(begin, Query.of("Host"))) as changes:
            await store.put(app())
            await store.put(host())
            await store.put(app(count=2))
            await store.put(host(address="192.0.2.2"))
            assert told(await take(changes, 2)) == ["ADDED Host/h1", "MODIFIED Host/h1"]

    async def test_labels_make_objects_come_and_go(self, store: ObjectStore) -> None:
        query = Query(labels=Selector.parse("tier=front"))
        async with aclosing(store.watch(await store.revision(), query)) as changes:
            await store.put(app(labels={"tier": "back"}))
            await store.put(app(labels={"tier": "front"}))
            await store.put(app(labels={"tier": "front"}, count=2))
            gone = await store.put(app(labels={"tier": "back"}, count=3))
            await store.put(app(count=4))
            await store.put(app(labels={"tier": "front"}, count=4))
            await store.delete("App", "shop")
            seen = await take(changes, 5)
        assert [one.type for one in seen] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
        # What leaves is shown as it was last seen, at the revision that took it away.
        assert seen[2].revision == gone.resource_version == seen[2].stored.resource_version
        assert seen[2].stored.labels == {"tier": "front"}

    async def test_fields_make_objects_come_and_go(self, store: ObjectStore) -> None:
        query = Query(fields=FieldSelector.parse("spec.address=192.0.2.1"))
        async with aclosing(store.watch(await store.revision(), query)) as changes:
            await store.put(host(address="192.0.2.2"))
            await store.put(host(address="192.0.2.1"))
            await store.put(host(address="192.0.2.3"))
            assert [one.type for one in await take(changes, 2)] == ["ADDED", "DELETED"]

    async def test_bookmarks_come_while_nothing_does(self, store: ObjectStore) -> None:
        made = await store.put(app())
        async with aclosing(store.watch(made.resource_version, idle=0.05)) as changes:
            async with asyncio.timeout(WITHIN):
                marks = [await anext(changes), await anext(changes)]
            assert marks == [Change("BOOKMARK", made.resource_version)] * 2
            await store.put(app(count=2))
            assert told(await take(changes, 1)) == ["MODIFIED App/shop"]

    async def test_a_bookmark_passes_what_was_not_asked_for(self, store: ObjectStore) -> None:
        begin, query = await store.revision(), Query.of("Host")
        async with aclosing(store.watch(begin, query, idle=0.05)) as changes:
            last = await store.put(app())
            async with asyncio.timeout(WITHIN):
                while (mark := await anext(changes)).revision < last.resource_version:
                    assert mark.type == "BOOKMARK"
        async with aclosing(store.watch(mark.revision, query)) as changes:
            await store.put(host())
            assert told(await take(changes, 1)) == ["ADDED Host/h1"]

    async def test_what_is_forgotten_is_gone_and_said_to_be(
        self, store: ObjectStore, forget: Callable[[], Awaitable[object]]
    ) -> None:
        begin = await store.revision()
        await store.put(app())
        last = await store.put(app(count=2))
        await forget()
        await refused(store.watch(begin))
        await refused(store.watch(last.resource_version - 1))
        async with aclosing(store.watch(last.resource_version)) as changes:
            await store.put(host())
            assert told(await take(changes, 1)) == ["ADDED Host/h1"]

    async def test_a_revision_of_another_history_is_refused(self, store: ObjectStore) -> None:
        made = await store.put(app())
        await refused(store.watch(made.resource_version + 1000))
        async with aclosing(store.watch(made.resource_version - 1)) as changes:
            await take(changes, 1)
            await refused(store.watch(made.resource_version + 1000))

    async def test_who_is_up_to_date_does_not_mind_forgetting(
        self, store: ObjectStore, forget: Callable[[], Awaitable[object]]
    ) -> None:
        async with aclosing(store.watch(await store.revision())) as changes:
            for count in range(1, 6):
                await store.put(app(count=count))
                await take(changes, 1)
                await forget()
            await store.put(host())
            assert told(await take(changes, 1)) == ["ADDED Host/h1"]

    async def test_who_is_too_slow_hears_so_and_never_gets_a_part(
        self, store: ObjectStore, forget: Callable[[], Awaitable[object]]
    ) -> None:
        begin = await store.revision()
        async with aclosing(store.watch(begin)) as changes:
            await store.put(app())
            seen = [one.revision for one in await take(changes, 1)]
            await many_changes(store)
            await forget()
            last = await store.put(host())
            # Between a server and its client there is room for some.
            while seen[-1] < last.resource_version:
                try:
                    seen += [one.revision for one in await take(changes, 1)]
                except Compacted:
                    break
        assert seen == list(range(begin + 1, begin + 1 + len(seen)))

    async def test_an_ended_watch_has_no_more(self, store: ObjectStore) -> None:
        changes = store.watch(await store.revision())
        await store.put(app())
        await take(changes, 1)
        await store.put(host())
        await changes.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(changes)

    async def test_what_a_watcher_does_to_its_object_is_its_own(self, store: ObjectStore) -> None:
        begin = await store.revision()
        async with aclosing(store.watch(begin)) as one, aclosing(store.watch(begin)) as other:
            await store.put(app())
            (await take(one, 1))[0].object["spec"].clear()
            assert (await take(other, 1))[0].object["spec"] == app()["spec"]
        assert (await kept(store, "App", "shop")).spec == app()["spec"]


async def many_changes(store: ObjectStore) -> None:
    """Change an App that is there more often than anybody should keep at hand."""
    for begin in range(0, 1200, 50):
        numbers = range(begin, begin + 50)
        await asyncio.gather(
            *(store.put_status("App", "shop", {"observedGeneration": one}) for one in numbers)
        )


async def refused(watch: Watch) -> None:
    async with aclosing(watch) as changes:
        with pytest.raises(Compacted, match="list again"):
            async with asyncio.timeout(WITHIN):
                await anext(changes)


def replay(known: dict[tuple[str, str], Object], change: Change) -> None:
    """Do to `known` what a change did to the store; it must have been possible."""
    key = change.kind, change.name
    assert (key in known) == (change.type != "ADDED"), change
    if change.type == "DELETED":
        del known[key]
    else:
        known[key] = change.object
