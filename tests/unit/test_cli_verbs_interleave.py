"""Lines of many hosts become one log, in order as far as it can be known."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from steersman.control.interleave import FIRST_PATIENCE, interleaved


class Item(NamedTuple):
    time: float
    text: str


async def past(*items: Item) -> AsyncIterator[Item]:
    for item in items:
        await asyncio.sleep(0)
        yield item


async def test_history_comes_in_order_of_time() -> None:
    one = past(Item(1, "a"), Item(4, "d"), Item(4, "e"))
    two = past(Item(2, "b"), Item(3, "c"), Item(9, "f"))
    merged = [item.text async for item in interleaved([one, two, past()])]
    assert merged == list("abcdef")


async def test_history_waits_for_the_slowest() -> None:
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[Item]:
        await gate.wait()
        yield Item(1, "early")

    merged = interleaved([slow(), past(Item(2, "late"))])
    first = asyncio.ensure_future(anext(merged))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not first.done()
    gate.set()
    assert (await first).text == "early"
    assert [item.text async for item in merged] == ["late"]


@pytest.mark.looptime
async def test_a_quiet_host_holds_nobody_up() -> None:
    forever = asyncio.Event()

    async def quiet() -> AsyncIterator[Item]:
        await forever.wait()
        yield Item(0, "never")

    lines = [Item(number, str(number)) for number in range(100)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    merged = interleaved([quiet(), past(*lines)], is_live=True)
    got = [await anext(merged) for _ in lines]
    assert got == lines
    assert loop.time() - began == pytest.approx(FIRST_PATIENCE), "only the first is waited for"
    await merged.aclose()


async def test_an_error_ends_it_and_leaves_no_task_behind() -> None:
    async def broken() -> AsyncIterator[Item]:
        yield Item(1, "a")
        raise ConnectionError("gone")

    merged = interleaved([broken(), past(Item(2, "b"), Item(3, "c"))])
    assert (await anext(merged)).text == "a"
    with pytest.raises(ConnectionError):
        await anext(merged)
    assert len(asyncio.all_tasks()) == 1
