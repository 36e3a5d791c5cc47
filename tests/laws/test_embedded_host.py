"""Supervisor and Caddy on the embedded host, through the real hand over real SSH."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from laws.bench import Bench, opened
from laws.suite import HandOverLaws, SupervisorOnlyLaws
from steersman.embedded.host import EmbeddedHost, embedded_host

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("memory")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(memory: Path) -> AsyncIterator[EmbeddedHost]:
    # Not in tmp_path: a socket's path has room for 107 bytes.
    with tempfile.TemporaryDirectory(prefix="steer-") as folder:
        async with embedded_host(Path(folder, "h")) as running:
            async with opened(running.host, running.url, memory) as bench:
                # Keeps the hand on the host, so that it is sent once.
                await bench.deploy(bench.wanted("anchor", 1, count=1))
            yield running


@pytest_asyncio.fixture(loop_scope="module")
async def bench(host: EmbeddedHost, memory: Path) -> AsyncIterator[Bench]:
    async with opened(host.host, host.url, memory) as made:
        yield made
        for app in list((await made.link.observe()).apps):
            if app != "anchor":
                await made.remove(made.wanted(app, 1).app)


@pytest.fixture
def foreign_name(host: EmbeddedHost) -> str:
    """A name that a site of somebody else's has."""
    caddyfile = Path(host.host.spec.root, "Caddyfile")
    caddyfile.write_text(caddyfile.read_text() + "\nhttp://theirs.test {\n\trespond hello\n}\n")
    return "theirs.test"


class TestEmbeddedHost(HandOverLaws, SupervisorOnlyLaws):
    async def test_its_port_is_none_that_connections_are_given(self, host: EmbeddedHost) -> None:
        given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        first, last = map(int, given.split())
        assert not first <= host.port <= last
