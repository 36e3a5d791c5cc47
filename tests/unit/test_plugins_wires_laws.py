"""StatsD, Graphite, Prometheus and Munin keep the laws of plugins, over real sockets."""

import asyncio
import pickle
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from steersman.api.plugging import Plugin
from steersman.plugging.process import PluginProcess
from steersman.testing.plugin_laws import PluginLaws, Server, arrived
from steersman.testing.signals import signal
from steersman_plugins.graphite import Graphite
from steersman_plugins.munin import Munin
from steersman_plugins.prometheus import Prometheus
from steersman_plugins.statsd import Statsd
from transport_lab import free_port


class Datagrams(Server):
    """A socket that keeps what it is sent; while it refuses there is none."""

    def __init__(self, family: int, address: tuple[str, int] | str) -> None:
        self._family, self._address = family, address
        self._got: list[str] = []
        where = address if isinstance(address, str) else ""
        self.config = {"address": f"unix:{where}" if where else "{}:{}".format(*address)}
        self._open()

    def _open(self) -> None:
        if isinstance(self._address, str):
            Path(self._address).unlink(missing_ok=True)
        self._socket = socket.socket(self._family, socket.SOCK_DGRAM)
        self._socket.bind(self._address)
        self._socket.setblocking(False)

    async def received(self) -> str:
        while True:
            try:
                self._got.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return "\n".join(self._got)

    async def refuse(self, is_refusing: bool) -> None:
        self.close() if is_refusing else self._open()

    def close(self) -> None:
        self._socket.close()


class CarbonServer(Server):
    """What carbon's receivers read, in memory; while it refuses nobody listens."""

    def __init__(self, protocol: str) -> None:
        self._port = free_port()
        self._is_pickle = protocol == "pickle"
        self._got = b""
        self._writers: set[asyncio.StreamWriter] = set()
        self.config = {"address": f"127.0.0.1:{self._port}", "protocol": protocol}

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", self._port)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        while chunk := await reader.read(65536):
            self._got += chunk

    async def received(self) -> str:
        if not self._is_pickle:
            return self._got.decode()
        told, rest = [], self._got
        while len(rest) >= 4 and len(rest) >= 4 + struct.unpack("!L", rest[:4])[0]:
            (length,) = struct.unpack("!L", rest[:4])
            told.append(repr(pickle.loads(rest[4 : 4 + length])))
            rest = rest[4 + length :]
        return "\n".join(told)

    async def refuse(self, is_refusing: bool) -> None:
        await self.close() if is_refusing else await self.open()

    async def close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


class Poller(Server):
    """Remembers what it fetched, as those who poll do, when there is no more to fetch."""

    def __init__(self) -> None:
        self._seen = ""

    async def received(self) -> str:
        with suppress(ConnectionError, httpx.ConnectError):
            self._seen = await self.fetch()
        return self._seen

    async def fetch(self) -> str:
        raise NotImplementedError


class Scraped(Poller):
    """Reads /metrics, as a Prometheus would."""

    secrets = ("t0ken-of-the-law",)

    def __init__(self) -> None:
        super().__init__()
        self._address = f"127.0.0.1:{free_port()}"
        self.config = {"address": self._address, "token": self.secrets[0]}

    async def fetch(self) -> str:
        said = {"Authorization": f"Bearer {self.secrets[0]}"}
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://{self._address}/metrics", headers=said)
        return answer.raise_for_status().text


class Polled(Poller):
    """Asks a Munin node for all that it lists, as a master would."""

    def __init__(self) -> None:
        super().__init__()
        self._port = free_port()
        self.config = {"address": f"127.0.0.1:{self._port}"}

    async def fetch(self) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(b"cap multigraph dirtyconfig\nlist\n")
            listed = [(await reader.readline()).decode() for _ in range(3)][-1].split()
            writer.write(b"".join(f"config {name}\n".encode() for name in listed) + b"quit\n")
            return (await reader.read()).decode()
        finally:
            writer.close()


class TestStatsd(PluginLaws):
    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        return Statsd

    @pytest.fixture
    def server(self) -> Iterator[Server]:
        made = Datagrams(socket.AF_INET, ("127.0.0.1", free_port()))
        yield made
        made.close()


class TestStatsdOverUnix(TestStatsd):
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Server]:
        made = Datagrams(socket.AF_UNIX, str(tmp_path / "dsd"))
        yield made
        made.close()


class TestGraphite(PluginLaws):
    protocol = "plaintext"

    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        return Graphite

    @pytest.fixture
    async def server(self) -> AsyncIterator[Server]:
        made = CarbonServer(self.protocol)
        await made.open()
        yield made
        await made.close()


class TestGraphitePickles(TestGraphite):
    protocol = "pickle"


class TestPrometheus(PluginLaws):
    is_polled = True

    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        return Prometheus

    @pytest.fixture
    def server(self) -> Server:
        return Scraped()


class TestMunin(PluginLaws):
    is_polled = True

    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        return Munin

    @pytest.fixture
    def server(self) -> Server:
        return Polled()


@pytest.mark.parametrize(("type_", "poller"), [("prometheus", Scraped), ("munin", Polled)])
async def test_who_polls_is_answered_while_nothing_is_shipped(
    type_: str, poller: type[Scraped] | type[Polled]
) -> None:
    server = poller()
    process = await PluginProcess.start()
    try:
        await process.open(type_, "law", server.config)
        shipped = signal("metrics", 1)
        await process.ship([shipped], timeout=60)
        await arrived(server, [shipped])
        await process.close(timeout=60)
    finally:
        await process.end()
