"""Ships metrics to a StatsD server in packed datagrams, with DogStatsD's tags or without any.

What counts up here is sent as how much it grew: https://github.com/statsd/statsd/blob/master/docs/metric_types.md
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from steersman.api.model import Model
from steersman.api.plugging import Plugin, PluginError
from steersman.api.signals import Sample, Signal, SignalName
from steersman_plugins.endpoints import HostPortOrSocket, parse_endpoint
from steersman_plugins.packing import packed
from steersman_plugins.series import Growth, Key, key_of, labels_of, number, samples_of
from steersman_plugins.wording import Prefix, Template, dotted_name, fill

# What fits in one Ethernet frame behind IPv6's and UDP's heads; local sockets take more at a time.
_UDP_BYTES = 1432
_UNIX_BYTES = 8192
_MOST_COUNTERS = 50_000
_PATIENCE = 0.5
# Nobody says so when a name moves to another address.
_KNOWN_FOR = 300.0
_NOT_IN_KEY = re.compile(r"[^\w./-]")
_NOT_IN_VALUE = re.compile(r"[^\w.:/-]")


class Encoder:
    """Turns samples into StatsD's lines; `keep` what was sent, or the growth is told again."""

    def __init__(self, tags: Literal["datadog", "none"], prefix: str, template: str) -> None:
        self._tags = tags
        self._prefix = f"{prefix}." if prefix else ""
        self._template = template
        self._growth = Growth(_MOST_COUNTERS)
        self._pending: dict[Key, float] = {}

    def lines(self, samples: Iterable[Sample]) -> Iterable[bytes]:
        """Yield a line for each gauge and for each counter that grew."""
        self._pending = {}
        for sample in samples:
            said = self._said(sample)
            if said:
                yield said.encode()

    def keep(self) -> None:
        """Remember the counters of the last `lines` as told."""
        self._growth.keep(self._pending)

    def _said(self, sample: Sample) -> str:
        name, tags = self._name(sample), self._tail(sample)
        if sample.kind == "counter":
            key = key_of(sample)
            grown = self._growth.of(key, sample.value, self._pending)
            self._pending[key] = sample.value
            return f"{name}:{number(grown)}|c{tags}" if grown > 0 else ""
        line = f"{name}:{number(sample.value)}|g{tags}"
        # A signed gauge is a step from where it stands: below zero only by way of zero, and
        # within one datagram.
        return f"{name}:0|g{tags}\n{line}" if sample.value < 0 else line

    def _name(self, sample: Sample) -> str:
        if self._tags == "none":
            return self._prefix + fill(self._template, sample)
        return self._prefix + dotted_name(sample.name)

    def _tail(self, sample: Sample) -> str:
        if self._tags == "none":
            return ""
        tags = ",".join(
            f"{_NOT_IN_KEY.sub('_', key)}:{_NOT_IN_VALUE.sub('_', value)}"
            for key, value in labels_of(sample)
        )
        return f"|#{tags}" if tags else ""


class Statsd(Plugin):
    """A StatsD server behind a UDP port or a Unix datagram socket."""

    takes: ClassVar[frozenset[SignalName]] = frozenset({"metrics"})

    class Config(Model):
        """`template` names a metric where there are no tags to hold its labels."""

        address: HostPortOrSocket = "127.0.0.1:8125"
        tags: Literal["datadog", "none"] = "datadog"
        prefix: Prefix = ""
        template: Template = "{name}.{labels}"

    config: Config

    def __init__(self, name: str, config: Config) -> None:
        super().__init__(name, config)
        self._dropped = 0
        self._endpoint = parse_endpoint(config.address)
        self._encoder = Encoder(config.tags, config.prefix, config.template)
        self._socket: socket.socket | None = None
        self._opened_at = 0.0
        self._tries = 0

    @property
    def dropped(self) -> int:
        return self._dropped

    async def start(self) -> None:
        await self._opened()

    async def ship(self, batch: Sequence[Signal]) -> None:
        opened = await self._opened()
        limit = _UNIX_BYTES if self._endpoint.path else _UDP_BYTES
        datagrams, too_long = packed(self._encoder.lines(samples_of(batch)), limit)
        sent = 0
        try:
            # What a server that is not there said to the datagrams before these.
            _raise_pending(opened)
            async with asyncio.timeout(_PATIENCE):
                for datagram in datagrams:
                    await asyncio.get_running_loop().sock_sendall(opened, datagram)
                    sent += 1
            _raise_pending(opened)
        except OSError as error:
            await self.close()
            # Over UDP nothing arrived at all; a Unix socket took what it took.
            if sent and self._endpoint.path:
                self._dropped += sum(one.count(b"\n") + 1 for one in datagrams[sent:])
                self._encoder.keep()
            raise self._unreached(error) from error
        self._dropped += too_long
        self._encoder.keep()

    async def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _opened(self) -> socket.socket:
        now = time.monotonic()
        if now > self._opened_at + _KNOWN_FOR:
            await self.close()
        if self._socket is None:
            self._opened_at = now
            try:
                self._socket = await self._open()
            except OSError as error:
                raise self._unreached(error) from error
        return self._socket

    async def _open(self) -> socket.socket:
        where = self._endpoint
        if where.path:
            return _connected(socket.AF_UNIX, where.path)
        found = await asyncio.get_running_loop().getaddrinfo(
            where.host, where.port, type=socket.SOCK_DGRAM
        )
        # A name may have several addresses, of which a server listens on some.
        family, _, _, _, address = found[self._tries % len(found)]
        self._tries += 1
        return _connected(family, address)

    def _unreached(self, error: OSError) -> PluginError:
        # A socket that stays full: whoever reads it is too slow, or has stopped.
        why = error.strerror or str(error) or "nobody reads them"
        return PluginError(
            f"no StatsD server takes datagrams at {self._endpoint}: {why}; "
            "start it, or mend `config.address`"
        )


def _connected(family: int, address: object) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        opened.connect(address)  # type: ignore[arg-type] # what getaddrinfo returned, or a path
    except BaseException:
        opened.close()
        raise
    return opened


def _raise_pending(opened: socket.socket) -> None:
    if code := opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(code, os.strerror(code))
