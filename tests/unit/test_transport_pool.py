"""One link a host, however many ask; few handshakes at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from steersman.api.errors import HostUnreachable
from steersman.transport.errors import HandFailed
from steersman.transport.link import Link
from steersman.transport.pool import LinkPool
from steersman.transport.target import Target
from transport_lab import SSHD, Server, fake_bundle, run_sshd

pytestmark = pytest.mark.skipif(SSHD is None, reason="needs OpenSSH's sshd")

BUNDLE = fake_bundle()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


async def open_link(target: Target) -> Link:
    return await Link.open(target, {}, bundle=BUNDLE)


@pytest.fixture
async def pool() -> AsyncIterator[LinkPool]:
    links = LinkPool(open_link)
    yield links
    await links.close_all()


async def test_many_askers_share_one_link(pool: LinkPool, server: Server) -> None:
    links = await asyncio.gather(*(pool.get(server.target()) for _ in range(20)))
    assert len(set(links)) == 1
    assert await pool.get(server.target()) is links[0]


async def test_one_asker_that_gives_up_does_not_take_the_link_from_the_others(
    pool: LinkPool, server: Server
) -> None:
    impatient = asyncio.create_task(pool.get(server.target()))
    patient = asyncio.create_task(pool.get(server.target()))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).is_alive
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_a_dropped_and_a_lost_link_are_replaced(pool: LinkPool, server: Server) -> None:
    first = await pool.get(server.target())
    await pool.drop("h1")
    assert not first.is_alive
    second = await pool.get(server.target())
    with pytest.raises(HandFailed):
        await second.call("die", status=1, words="bye")
    third = await pool.get(server.target())
    assert len({first, second, third}) == 3
    assert third.is_alive


async def test_a_changed_target_gets_a_new_link(pool: LinkPool, server: Server) -> None:
    first = await pool.get(server.target())
    second = await pool.get(server.target(address="localhost"))
    assert not first.is_alive
    assert second.is_alive


async def test_a_failure_is_told_to_every_asker_and_tried_again_next_time(server: Server) -> None:
    attempts = 0

    async def flaky(target: Target) -> Link:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await asyncio.sleep(0)
            raise HostUnreachable(target.name, "first time")
        return await open_link(target)

    pool = LinkPool(flaky)
    outcomes = await asyncio.gather(
        *(pool.get(server.target()) for _ in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [HostUnreachable] * 3
    assert attempts == 1
    assert (await pool.get(server.target())).is_alive
    await pool.close_all()


async def test_handshakes_are_bounded_and_hosts_do_not_share_links() -> None:
    under_way = most = 0
    full, gate = asyncio.Event(), asyncio.Event()

    async def slow(target: Target) -> Link:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most == 4:
            full.set()
        await gate.wait()
        under_way -= 1
        raise HostUnreachable(target.name, "test")

    pool = LinkPool(slow, handshakes=4)
    asking = [asyncio.create_task(pool.get(Target(f"h{n}", "h"))) for n in range(20)]
    await full.wait()
    gate.set()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    refused = [outcome.host for outcome in outcomes if isinstance(outcome, HostUnreachable)]
    assert refused == [f"h{n}" for n in range(20)]
    assert most == 4


async def test_closing_ends_links_and_openings(server: Server) -> None:
    async def never(target: Target) -> Link:
        if target.name == "h2":
            await asyncio.Event().wait()
        return await open_link(target)

    pool = LinkPool(never)
    link = await pool.get(server.target())
    opening = asyncio.create_task(pool.get(server.target(name="h2")))
    await asyncio.sleep(0)
    await pool.close_all()
    assert not link.is_alive
    with pytest.raises(asyncio.CancelledError):
        await opening
