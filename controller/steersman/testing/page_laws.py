"""What a page promises: one moment of all objects, however many pages it takes to read it."""

from collections.abc import Awaitable, Callable

import pytest

from steersman.store.errors import BadToken, Compacted
from steersman.store.protocol import ObjectStore, Page, Query
from steersman.store.selectors import FieldSelector, Selector
from steersman.testing.samples import app, host


class PageLaws:
    """Needs the fixtures `store` and `forget`, which makes the store forget its history."""

    async def test_a_page_shows_every_kind_at_one_revision(self, store: ObjectStore) -> None:
        for name in ("h10", "h9"):
            await store.put(host(name))
        last = await store.put(app())
        page = await store.page()
        assert keys(page) == ["App/shop", "Host/h9", "Host/h10"]
        assert page.revision == last.resource_version == await store.revision()
        assert page.token is None
        assert keys(await store.page(Query.of("Host"))) == ["Host/h9", "Host/h10"]
        assert [one.object for one in page.items[:1]] == [last.object]

    async def test_pages_go_on_at_the_revision_they_began_with(self, store: ObjectStore) -> None:
        for number in range(7):
            await store.put(app(f"a{number}"))
        before = await store.page()
        first = await store.page(limit=3)
        await store.put(app("a1", count=9))
        await store.put(app("a4", count=9))
        await store.put(app("a4", count=10))
        await store.delete("App", "a5")
        await store.put(app("a5", count=9))
        await store.delete("App", "a6")
        await store.put(app("a45"))
        second = await store.page(limit=3, token=first.token)
        third = await store.page(limit=3, token=second.token)
        assert [first.remaining, second.remaining, third.remaining] == [4, 1, 0]
        assert third.token is None
        assert {page.revision for page in (first, second, third)} == {before.revision}
        together = first.items + second.items + third.items
        assert [one.object for one in together] == [one.object for one in before.items]

    async def test_a_token_outlives_an_object_that_it_names(self, store: ObjectStore) -> None:
        for name in ("a", "b", "c"):
            await store.put(app(name))
        first = await store.page(limit=2)
        await store.delete("App", "b")
        assert keys(await store.page(limit=2, token=first.token)) == ["App/c"]

    async def test_a_forgotten_revision_is_said_to_be(
        self, store: ObjectStore, forget: Callable[[], Awaitable[object]]
    ) -> None:
        for name in ("a", "b", "c"):
            await store.put(app(name))
        first = await store.page(limit=2)
        # What is still the newest can be read on, whatever was forgotten before it.
        await forget()
        assert keys(await store.page(limit=2, token=first.token)) == ["App/c"]
        await store.put(app("d"))
        await forget()
        with pytest.raises(Compacted):
            await store.page(limit=2, token=first.token)

    async def test_nothing_is_lost_by_forgetting(
        self, store: ObjectStore, forget: Callable[[], Awaitable[object]]
    ) -> None:
        for count in range(5):
            await store.put(app(count=count))
            await store.put(host(f"h{count}"))
        await store.delete("Host", "h3")
        before = await store.page()
        await forget()
        await forget()
        assert await store.page() == before
        await store.put(app(count=7))
        assert keys(await store.page()) == keys(before)

    async def test_selectors_choose_across_pages(self, store: ObjectStore) -> None:
        for number in range(6):
            await store.put(app(f"a{number}", labels={"odd": "yes" if number % 2 else "no"}))
        query = Query.of("App")
        query = Query(query.kinds, Selector.parse("odd=yes"))
        first = await store.page(query, limit=2)
        assert keys(first) == ["App/a1", "App/a3"]
        second = await store.page(query, limit=2, token=first.token)
        assert keys(second) == ["App/a5"]
        assert second.token is None
        assert (await store.page(query, limit=3)).token is None

    async def test_fields_choose_as_well(self, store: ObjectStore) -> None:
        await store.put(host("h1", address="192.0.2.1"))
        await store.put(host("h2", address="192.0.2.2"))
        await store.put_status("Host", "h2", {"observedGeneration": 1})
        for text, found in (
            ("metadata.name=h2", ["Host/h2"]),
            ("spec.address!=192.0.2.1", ["Host/h2"]),
            ("status.observedGeneration=1", ["Host/h2"]),
            ("status.observedGeneration=", ["Host/h1"]),
            ("spec.address=192.0.2.1,metadata.name=h2", []),
        ):
            query = Query(fields=FieldSelector.parse(text))
            assert keys(await store.page(query)) == found, text

    @pytest.mark.parametrize("token", ["", "?", "e30", "WzEsMiwzXQ", "Wy0xXQ", "x" * 9999, "é"])
    async def test_a_strange_token_is_refused(self, store: ObjectStore, token: str) -> None:
        await store.put(app())
        with pytest.raises(BadToken, match="list again"):
            await store.page(limit=1, token=token)


def keys(page: Page) -> list[str]:
    return [f"{one.kind}/{one.name}" for one in page.items]
