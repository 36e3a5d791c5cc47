"""What a store keeps for the controller beside objects: events, epochs, leases and secrets."""

import asyncio
from contextlib import aclosing

import pytest

from steersman.store.errors import LeaseHeld, LeaseLost
from steersman.store.protocol import Query, Store
from steersman.testing.samples import app, host, take, told


class ControllerLaws:
    """Needs `store`, an empty `Store`, and `peer`: the same data, as somebody else has it open."""

    @pytest.fixture
    def peer(self, store: Store) -> Store:
        return store

    async def test_a_repeated_event_is_counted(self, store: Store) -> None:
        first = await store.add_event("App", "shop", "Warning", "Unreachable", "no route", "h1")
        again = await store.add_event("App", "shop", "Warning", "Unreachable", "no route", "h1")
        assert (first.count, again.count, again.id) == (1, 2, first.id)
        assert await store.events("App", "shop") == (again,)

    async def test_what_differs_is_another_event(self, store: Store) -> None:
        await store.add_event("App", "shop", "Normal", "Deployed", "release 1", "h1")
        await store.add_event("App", "shop", "Normal", "Deployed", "release 1", "h2")
        await store.add_event("App", "shop", "Normal", "Deployed", "release 1")
        await store.add_event("App", "shop", "Normal", "Deployed", "release 2", "h1")
        await store.add_event("App", "blog", "Normal", "Deployed", "release 1", "h1")
        assert [event.count for event in await store.events()] == [1, 1, 1, 1, 1]
        assert len(await store.events("App", "shop")) == 4
        assert [one.name for one in await store.events(limit=1)] == ["blog"]

    async def test_events_outlive_what_they_are_about(self, store: Store) -> None:
        await store.put(app())
        await store.add_event("App", "shop", "Normal", "Deployed", "release 1")
        await store.delete("App", "shop")
        assert len(await store.events("App", "shop")) == 1

    async def test_events_are_listed_and_watched_as_objects(self, store: Store) -> None:
        begin = await store.revision()
        async with aclosing(store.watch(begin, Query.of("Event"))) as changes:
            event = await store.add_event("App", "shop", "Warning", "Crashed", "exit 1", "h1")
            await store.add_event("App", "shop", "Warning", "Crashed", "exit 1", "h1")
            added, counted = await take(changes, 2)
        name = f"shop-{event.id}"
        assert told([added, counted]) == [f"ADDED Event/{name}", f"MODIFIED Event/{name}"]
        (stored,) = await store.list("Event")
        assert stored.object == counted.object
        assert stored.name == name
        assert stored.spec == {
            "involved": {"kind": "App", "name": "shop"},
            "type": "Warning",
            "reason": "Crashed",
            "message": "exit 1",
            "time": stored.spec["time"],
            "count": 2,
            "host": "h1",
        }

    async def test_an_events_own_name_is_not_too_long(self, store: Store) -> None:
        await store.add_event("Host", "h" * 63, "Normal", "Seen", "again")
        (stored,) = await store.list("Event")
        assert len(stored.name) <= 63

    async def test_epochs_only_rise(self, store: Store, peer: Store) -> None:
        assert await store.next_epoch() == 1
        assert await peer.next_epoch() == 2
        assert await store.next_epoch(at_least=40) == 40
        assert await peer.next_epoch(at_least=3) == 41
        epochs = await asyncio.gather(*(s.next_epoch() for s in (store, peer) for _ in range(20)))
        assert sorted(epochs) == list(range(42, 82))

    async def test_a_held_name_is_refused_with_its_holder(self, store: Store, peer: Store) -> None:
        lease = await store.acquire_lease("app/shop", "steer apply")
        with pytest.raises(LeaseHeld, match=r"steer apply \(pid \d+\)") as refused:
            await peer.acquire_lease("app/shop", "steer delete")
        assert refused.value.retryable
        assert await peer.is_leased("app/shop")
        assert not await peer.is_leased("app/blog")
        await peer.acquire_lease("app/blog", "steer apply")
        await store.release_lease(lease)
        await peer.acquire_lease("app/shop", "steer delete")

    async def test_a_late_holder_is_replaced_and_told(self, store: Store) -> None:
        late = await store.acquire_lease("app/shop", "slow", ttl=0)
        current = await store.acquire_lease("app/shop", "quick")
        with pytest.raises(LeaseLost):
            await store.renew_lease(late)
        await store.release_lease(late)
        await store.renew_lease(current)
        with pytest.raises(LeaseHeld, match="quick"):
            await store.acquire_lease("app/shop", "third")

    async def test_renewing_prolongs(self, store: Store) -> None:
        lease = await store.acquire_lease("app/shop", "first", ttl=0)
        await store.renew_lease(lease, ttl=60)
        with pytest.raises(LeaseHeld):
            await store.acquire_lease("app/shop", "second")

    async def test_the_key_is_always_the_same(self, store: Store, peer: Store) -> None:
        key = await store.key()
        assert len(key) == 32
        assert await peer.key() == key

    async def test_secret_values_come_back_exactly(self, store: Store, peer: Store) -> None:
        values = {"DATABASE_URL": "postgres://ü:'\"\n$@db", "EMPTY": "", "TOKEN": "x"}
        assert await store.get_secret("shop") is None
        assert await store.put_secret("shop", values)
        assert await peer.get_secret("shop") == values
        assert not await peer.put_secret("shop", values)
        assert await store.put_secret("shop", {"TOKEN": "x"})
        assert await store.get_secret("shop") == {"TOKEN": "x"}

    async def test_values_go_with_their_secret_and_not_before(self, store: Store) -> None:
        secret = {**host("shop", finalizers=["a"]), "kind": "Secret"}
        await store.put(secret)
        await store.put_secret("shop", {"TOKEN": "x"})
        await store.delete("Secret", "shop", dry_run=True)
        await store.delete("Secret", "shop")
        assert await store.get_secret("shop") == {"TOKEN": "x"}
        await store.put({**host("shop"), "kind": "Secret"})
        assert await store.get_secret("shop") is None
        await store.put_secret("half", {"TOKEN": "x"})
        assert await store.delete("Secret", "half") is None
        assert await store.get_secret("half") is None

    async def test_a_new_epoch_is_no_change_of_an_object(self, store: Store) -> None:
        begin = await store.revision()
        await store.next_epoch()
        await store.put_secret("shop", {"TOKEN": "x"})
        await store.acquire_lease("app/shop", "steer apply")
        assert await store.revision() == begin
