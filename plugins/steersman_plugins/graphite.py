"""Ships metrics to Graphite's carbon over TCP: plain text, or pickles, by tags or dotted names.

Formats: https://graphite.readthedocs.io/en/latest/feeding-carbon.html
"""

from __future__ import annotations

import asyncio
import pickle
import re
import struct
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, cast

from steersman.api.model import Flag, Model
from steersman.api.plugging import Plugin, PluginError
from steersman.api.quantities import Timeout
from steersman.api.signals import Sample, Signal, SignalName
from steersman_plugins.endpoints import HostPort, parse_endpoint
from steersman_plugins.series import labels_of, number, samples_of
from steersman_plugins.wording import Prefix, Template, dotted_name, fill

# carbon takes pickles of 1 MiB and lines of 16 KiB.
_AT_A_TIME = 500
_LONGEST_PATH = 1800
_NOT_IN_TAG = re.compile(r"[^A-Za-z0-9_.-]")
_NOT_IN_VALUE = re.compile(r"[^\w.:/+@-]", re.ASCII)


def path_of(sample: Sample, *, tags: bool, prefix: str, template: str) -> str:
    """Return the path of a series: `name;key=value;…`, or a dotted name."""
    before = f"{prefix}." if prefix else ""
    if not tags:
        return before + fill(template, sample)
    path = before + dotted_name(sample.name)
    for key, value in labels_of(sample):
        # carbon keeps the series' own name in the tag `name`.
        tag = _NOT_IN_TAG.sub("_", key) if key != "name" else "name_"
        said = f";{tag or '_'}={_NOT_IN_VALUE.sub('_', value)}"
        if len(path) + len(said) > _LONGEST_PATH:
            break
        path += said
    return path


Point = tuple[str, tuple[int, float]]


def lines(points: Sequence[Point]) -> Iterator[bytes]:
    """Yield what carbon's line receiver (2003) reads."""
    for some in _chunks(points):
        yield "".join(f"{path} {number(value)} {time}\n" for path, (time, value) in some).encode()


def pickles(points: Sequence[Point]) -> Iterator[bytes]:
    """Yield what carbon's pickle receiver (2004) reads: pickles behind their lengths."""
    for some in _chunks(points):
        held = pickle.dumps(some, protocol=2)
        yield struct.pack("!L", len(held)) + held


def _chunks(points: Sequence[Point]) -> Iterator[list[Point]]:
    for at in range(0, len(points), _AT_A_TIME):
        yield list(points[at : at + _AT_A_TIME])


class _Link(asyncio.Protocol):
    """A connection to a side that only listens: whatever it says is thrown away."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=0)

    def pause_writing(self) -> None:
        self._free.clear()

    def resume_writing(self) -> None:
        self._free.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self._free.set()

    async def send(self, chunk: bytes) -> None:
        """Return when the kernel has all of `chunk`; raises ConnectionError."""
        if not self.lost.is_set():
            self.transport.write(chunk)
            await self._free.wait()
        if self.lost.is_set():
            raise ConnectionResetError("it closed the connection")


class Graphite(Plugin):
    """A carbon daemon, or a relay before it."""

    takes: ClassVar[frozenset[SignalName]] = frozenset({"metrics"})

    class Config(Model):
        """`tags` need Graphite 1.1; without them `template` says where labels go in a name."""

        address: HostPort = "127.0.0.1:2003"
        protocol: Literal["plaintext", "pickle"] = "plaintext"
        tags: Flag = True
        prefix: Prefix = ""
        template: Template = "{name}.{labels}"
        timeout: Timeout = 5.0

    config: Config

    def __init__(self, name: str, config: Config) -> None:
        super().__init__(name, config)
        self._encode = pickles if config.protocol == "pickle" else lines
        self._link: _Link | None = None

    async def start(self) -> None:
        await self._connected()

    async def ship(self, batch: Sequence[Signal]) -> None:
        said = self.config
        points = [
            (
                path_of(one, tags=said.tags, prefix=said.prefix, template=said.template),
                (int(one.time), float(one.value)),
            )
            for one in samples_of(batch)
        ]
        try:
            async with asyncio.timeout(said.timeout):
                link = await self._connected()
                for chunk in self._encode(points):
                    await link.send(chunk)
        except (OSError, TimeoutError) as error:
            await self.close()
            raise self._unreached(error) from error

    async def close(self) -> None:
        if self._link is not None:
            self._link.transport.abort()
            self._link = None

    async def _connected(self) -> _Link:
        if self._link is not None and self._link.lost.is_set():
            self._link = None
        if self._link is None:
            where = parse_endpoint(self.config.address)
            try:
                async with asyncio.timeout(self.config.timeout):
                    _, self._link = await asyncio.get_running_loop().create_connection(
                        _Link, where.host, where.port
                    )
            except (OSError, TimeoutError) as error:
                raise self._unreached(error) from error
        return self._link

    def _unreached(self, error: Exception) -> PluginError:
        why = getattr(error, "strerror", None) or str(error)
        if isinstance(error, TimeoutError):
            why = f"nothing for {self.config.timeout:g} s"
        return PluginError(
            f"carbon at {self.config.address} takes no metrics: {why}; "
            "start it, or mend `config.address`"
        )
