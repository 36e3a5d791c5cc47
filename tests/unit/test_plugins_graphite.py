"""The Graphite plugin: paths that carbon takes, whole lines and pickles, and no stall."""

import asyncio
import pickle
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.api.plugging import PluginError
from steersman.api.signals import Sample
from steersman_plugins.graphite import Graphite, lines, path_of, pickles

_WORDS = st.text(max_size=300) | st.sampled_from(["a b", "a;b=c", "~x", "a\n", "name", "\udc80"])
HOSTILE = st.builds(
    Sample,
    time=st.floats(0, 2**32),
    name=_WORDS,
    value=st.floats(allow_nan=False, allow_infinity=False),
    labels=st.dictionaries(_WORDS, _WORDS, max_size=40),
)
_LINE = re.compile(
    r"[A-Za-z0-9_.-]+(?:;[A-Za-z0-9_.-]+=[A-Za-z0-9_.:/+@-]+)* -?\d+(?:\.\d+)? \d+\n"
)
_POINTS = st.lists(st.tuples(st.text(min_size=1), st.tuples(st.integers(0), st.floats())))
LOAD = Sample(time=1700000000.9, name="steersman_host_load1", value=0.5, labels={"host": "h.1"})


class Carbon:
    """Keeps what it is told, or reads nothing at all."""

    def __init__(self, *, is_deaf: bool = False) -> None:
        self.got = b""
        self.links: list[asyncio.StreamWriter] = []
        self.port = 0
        self._is_deaf = is_deaf
        self._changed = asyncio.Event()

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.links.append(writer)
        self._changed.set()
        if self._is_deaf:
            return
        while chunk := await reader.read(65536):
            self.got += chunk
            self._changed.set()

    async def until(self, size: int) -> bytes:
        while len(self.got) < size:
            self._changed.clear()
            await self._changed.wait()
        return self.got


@asynccontextmanager
async def carbon(*, is_deaf: bool = False) -> AsyncIterator[Carbon]:
    made = Carbon(is_deaf=is_deaf)
    server = await asyncio.start_server(made.greet, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    for link in made.links:
        link.transport.abort()


def graphite(port: int, **config: Any) -> Graphite:
    return Graphite("g", Graphite.Config(address=f"127.0.0.1:{port}", **config))


@given(st.lists(HOSTILE, max_size=5), st.booleans())
def test_no_hostile_sample_makes_another_line(samples: list[Sample], tags: bool) -> None:
    points = [
        (path_of(one, tags=tags, prefix="", template="{name}.{labels}"), (int(one.time), one.value))
        for one in samples
    ]
    told = b"".join(lines(points)).decode("ascii")
    for line in told.splitlines(keepends=True):
        assert _LINE.fullmatch(line), line
        assert len(line) < 16384
        words = line.split(" ")[0].split(";")[0].split(".")
        assert all(0 < len(one) <= 200 for one in words)
    assert told.count("\n") == len(samples)


def test_labels_are_tags_or_words_of_the_name() -> None:
    labels = {"app": "shop", "name": "x", "path": "/a b", "empty": ""}
    sample = Sample(time=1, name="sent_total", value=1, labels=labels)
    tagged = path_of(sample, tags=True, prefix="prod", template="")
    assert tagged == "prod.sent_total;app=shop;name_=x;path=/a_b"
    assert path_of(sample, tags=False, prefix="", template="{app}.{name}") == "shop.sent_total"


@given(_POINTS)
def test_pickles_say_what_the_points_say(points: list[tuple[str, tuple[int, float]]]) -> None:
    for chunk in pickles(points):
        (length,) = struct.unpack("!L", chunk[:4])
        assert len(chunk) == 4 + length
        # PROTO 2, as carbon of any age reads it.
        assert chunk[4:6] == b"\x80\x02"
    told = [point for chunk in pickles(points) for point in pickle.loads(chunk[4:])]
    assert repr(told) == repr(points)


def test_large_batches_are_several_pickles_that_carbon_takes() -> None:
    path = "steersman;" + "k=v;" * 440
    chunks = list(pickles([(path + str(n), (1, 1.0)) for n in range(1200)]))
    assert [len(pickle.loads(chunk[4:])) for chunk in chunks] == [500, 500, 200]
    assert max(map(len, chunks)) < 1 << 20


async def test_lines_arrive() -> None:
    async with carbon() as server:
        plugin = graphite(server.port)
        await plugin.start()
        await plugin.ship([LOAD])
        assert await server.until(40) == b"steersman_host_load1;host=h.1 0.5 1700000000\n"
        await plugin.close()


async def test_a_connection_that_was_closed_is_opened_again() -> None:
    async with carbon() as server:
        plugin = graphite(server.port)
        await plugin.ship([LOAD])
        once = len(await server.until(40))
        link = plugin._link
        assert link is not None
        server.links[0].close()
        await server.links[0].wait_closed()
        await link.lost.wait()
        await plugin.ship([LOAD])
        assert len(await server.until(2 * once)) == 2 * once
        assert len(server.links) == 2
        await plugin.close()


async def test_a_carbon_that_reads_nothing_is_an_error_in_time() -> None:
    labels = {f"label-{n}": "x" * 190 for n in range(9)}
    many = [Sample(time=1, name="long", value=1, labels=labels)] * 8000
    async with carbon(is_deaf=True) as server:
        plugin = graphite(server.port, timeout="200ms")
        with pytest.raises(PluginError, match=r"takes no metrics: nothing for 0\.2 s"):
            await plugin.ship(many)
        await plugin.close()


async def test_a_carbon_that_is_not_there_is_told_with_the_way_out() -> None:
    async with carbon() as server:
        port = server.port
    with pytest.raises(PluginError, match=rf"carbon at 127\.0\.0\.1:{port} .*; start it, or mend"):
        await graphite(port).start()


async def test_what_carbon_says_is_thrown_away() -> None:
    async with carbon() as server:
        plugin = graphite(server.port)
        await plugin.ship([LOAD])
        await server.until(40)
        server.links[0].write(b"garbage" * 100_000)
        await server.links[0].drain()
        await plugin.ship([LOAD])
        await server.until(80)
        await plugin.close()
