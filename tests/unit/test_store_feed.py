"""Many who watch: woken little by little, and served what they missed from one reading."""

import asyncio
from collections.abc import Sequence

import pytest

from steersman.store import feed as feeds
from steersman.store.feed import Feed
from steersman.store.protocol import EVERYTHING, Change
from steersman.store.tables import Logged
from steersman.store.watcher import Watcher
from steersman.testing.samples import WITHIN, take

# So much that nobody catches up while another is woken, however slow the machine.
FAR = 20_000


class Log:
    """A store that only has a history, and may be busy for ever."""

    def __init__(self) -> None:
        self.feed = Feed(self)
        self.changes: list[Logged] = []
        self.is_writing = False
        self.reads: list[int] = []

    async def start(self) -> None:
        self.feed.begin(len(self.changes))

    async def changes_after(self, since: int, limit: int) -> Sequence[Logged]:
        self.reads.append(since)
        await asyncio.sleep(0)
        return self.changes[since : since + limit]

    def write(self, count: int, *, is_told: bool = True) -> None:
        begin = len(self.changes)
        for revision in range(begin + 1, begin + count + 1):
            self.changes.append(Logged(Change("ADDED", revision, "App", f"a{revision}"), None))
        if self.feed.is_running:
            self.feed.publish(self.changes[begin:] if is_told else (), len(self.changes))

    def watch(self, since: int = 0) -> Watcher:
        return Watcher(self.feed, since, EVERYTHING, idle=60)


async def listening(log: Log, count: int) -> tuple[list[asyncio.Task[list[Change]]], list[int]]:
    """Return tasks that wait for one change each, and the list that counts those who have it."""
    heard: list[int] = []

    async def listen(number: int) -> list[Change]:
        found = await take(log.watch(), 1)
        heard.append(number)
        return found

    tasks = [asyncio.create_task(listen(number)) for number in range(count)]
    async with asyncio.timeout(WITHIN):
        while len(log.feed._waiting) < count:  # noqa: ASYNC110
            await asyncio.sleep(0)
    return tasks, heard


async def test_watchers_are_woken_a_few_at_a_time() -> None:
    log = Log()
    tasks, heard = await listening(log, 100)
    log.write(1)
    turns, before = 0, 0
    while len(heard) < 100:
        await asyncio.sleep(0)
        assert len(heard) - before <= feeds._AT_ONCE
        turns, before = turns + 1, len(heard)
    assert turns >= 100 // feeds._AT_ONCE
    await asyncio.gather(*tasks)


@pytest.mark.looptime
async def test_watchers_come_last_but_they_come() -> None:
    log = Log()
    tasks, heard = await listening(log, 40)
    log.is_writing = True
    log.write(1)
    for _ in range(3):
        await asyncio.sleep(0)
    # The first few have cost something, and whoever writes goes first now.
    assert 0 < len(heard) <= feeds._AT_ONCE
    assert {one.result()[0].revision for one in tasks if one.done()} == {1}
    await asyncio.wait_for(asyncio.gather(*tasks), WITHIN)
    assert sorted(heard) == list(range(40))


async def test_who_is_far_behind_lets_others_have_their_turn() -> None:
    log = Log()
    log.write(FAR)
    # More than are woken at once, so that somebody is always due.
    fars, near = [log.watch() for _ in range(3 * feeds._AT_ONCE)], log.watch(FAR)
    catching_up = asyncio.gather(*(take(far, FAR) for far in fars))
    waiting = asyncio.create_task(take(near, 1))
    async with asyncio.timeout(WITHIN):
        while not log.feed._waiting:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert not catching_up.done()
    log.write(1)
    await asyncio.wait_for(waiting, WITHIN)
    assert not catching_up.done()
    for seen in await catching_up:
        assert [one.revision for one in seen] == list(range(1, FAR + 1))


async def test_what_many_missed_is_read_once() -> None:
    log = Log()
    log.write(1000)
    watches = [log.watch() for _ in range(50)]
    seen = await asyncio.wait_for(asyncio.gather(*(take(one, 1000) for one in watches)), WITHIN)
    assert all([one.revision for one in each] == list(range(1, 1001)) for each in seen)
    assert log.reads == [0, 256, 512, 768]


async def test_what_was_not_told_is_looked_up() -> None:
    log = Log()
    watch = log.watch()
    log.write(1)
    await take(watch, 1)
    log.write(3)
    log.write(5, is_told=False)
    log.write(2)
    assert [one.revision for one in await take(watch, 10)] == list(range(2, 12))


async def test_what_is_kept_at_hand_is_bounded() -> None:
    log = Log()
    watch = log.watch()
    log.write(1)
    await take(watch, 1)
    for _ in range(30):
        log.write(100)
    assert len(log.feed._recent) == feeds._RECENT
    assert [one.revision for one in await take(watch, 3000)] == list(range(2, 3002))
    assert len(log.feed._older) <= feeds._OLDER
