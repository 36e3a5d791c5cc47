"""The queue holds keys: each once, never twice at a time, and later after failures."""

import asyncio

import pytest

from steersman.control.workqueue import LONGEST, WorkQueue

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


async def none_waits(queue: WorkQueue) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5000):
            await queue.get()


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue(jitter=lambda: 0.0)


async def test_a_key_added_twice_comes_once(queue: WorkQueue) -> None:
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    await none_waits(queue)


async def test_a_key_at_work_comes_again_only_afterwards(queue: WorkQueue) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert await queue.get() == "b"
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    await none_waits(queue)


async def test_failures_wait_twice_as_long_each_time_up_to_a_limit(queue: WorkQueue) -> None:
    waits = []
    for _ in range(100):
        began = now()
        queue.failed("a")
        assert await queue.get() == "a"
        waits.append(round(now() - began, 4))
        queue.done("a")
    assert waits[:4] == [0.005, 0.01, 0.02, 0.04]
    assert waits[-1] == LONGEST
    queue.forget("a")
    assert queue.failed("a") == 0.005


async def test_what_is_wanted_now_does_not_wait_for_a_failure_s_turn(queue: WorkQueue) -> None:
    queue.add_after("a", 1000)
    began = now()
    queue.add("a")
    assert await queue.get() == "a"
    assert now() - began < 1
    queue.done("a")
    await none_waits(queue)


async def test_the_sooner_of_two_times_counts(queue: WorkQueue) -> None:
    began = now()
    queue.add_after("a", 100)
    queue.add_after("a", 10)
    queue.add_after("a", 50)
    assert await queue.get() == "a"
    assert now() - began == pytest.approx(10)
    queue.done("a")
    await none_waits(queue)


async def test_jitter_only_adds() -> None:
    queue = WorkQueue(jitter=lambda: 0.5)
    assert queue.failed("a", least=1.0) == pytest.approx(1.05)


async def test_a_key_that_is_dropped_is_forgotten(queue: WorkQueue) -> None:
    queue.add("a")
    queue.add_after("b", 1)
    queue.failed("c")
    for key in "abc":
        queue.drop(key)
    await none_waits(queue)
    assert queue.failed("c") == 0.005
