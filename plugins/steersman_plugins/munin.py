"""A Munin node that a Munin master polls: graphs of all apps, and each host as a virtual node.

Protocol: https://guide.munin-monitoring.org/en/latest/master/network-protocol.html
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from steersman.api.host import check_address
from steersman.api.model import Model
from steersman.api.plugging import Plugin
from steersman.api.quantities import Timeout
from steersman.api.signals import Signal, SignalName
from steersman_plugins.door import Door, Network
from steersman_plugins.endpoints import HostPort
from steersman_plugins.munin_graphs import (
    GRAPHS,
    Graph,
    Lines,
    Sheets,
    Subjects,
    config_lines,
    field,
    together,
    value_lines,
)
from steersman_plugins.series import samples_of

_WITHIN = 300.0
_IDLE = 30.0
_UNKNOWN = "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n"
_NO_SERVICE = "# Unknown service\n.\n"
_Service = tuple[Graph, str, Subjects]
_CAN = ("multigraph", "dirtyconfig")


class Munin(Plugin):
    """A Munin master that polls apps and hosts here, as a node's plugins."""

    takes: ClassVar[frozenset[SignalName]] = frozenset({"metrics"})

    class Config(Model):
        """`node` is the node that the apps' graphs belong to; `allow` says who may ask."""

        address: HostPort = "127.0.0.1:4949"
        node: Annotated[str, AfterValidator(check_address)] = "steersman"
        allow: tuple[Network, ...] = ("127.0.0.0/8", "::1")
        staleness: Timeout = 600.0

    config: Config

    def __init__(self, name: str, config: Config) -> None:
        super().__init__(name, config)
        self._sheets = Sheets(config.staleness)
        self._door: Door | None = None

    @property
    def dropped(self) -> int:
        return self._sheets.refused

    async def start(self) -> None:
        if self._door is None:
            said = self.config
            door = Door(said.address, self._talk, within=_WITHIN, allow=said.allow)
            await door.open()
            self._door = door

    async def ship(self, batch: Sequence[Signal]) -> None:
        now = time.monotonic()
        for sample in samples_of(batch):
            self._sheets.take(sample, now)

    async def close(self) -> None:
        if self._door is not None:
            await self._door.close()
            self._door = None

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(self.config.node, self._sheets)
        writer.write(f"# munin node at {self.config.node}\n".encode())
        while True:
            async with asyncio.timeout(_IDLE):
                await writer.drain()
                line = await reader.readline()
            words = line.decode("utf-8", "replace").split()
            if not line.endswith(b"\n") or words[:1] in (["quit"], ["."]):
                return
            writer.write(talk.answer(words, time.monotonic()).encode())


class Talk:
    """One master's conversation: what it said that it can do, and what it is told."""

    def __init__(self, node: str, sheets: Sheets) -> None:
        self._node = node
        self._sheets = sheets
        self._caps: frozenset[str] = frozenset()
        self._found: dict[str, _Service] = {}
        self._found_at = -math.inf

    def answer(self, words: Sequence[str], now: float) -> str:
        """Return the whole answer to a line of `words`."""
        match words:
            case ["cap", *caps]:
                self._caps = frozenset(caps).intersection(_CAN)
                return f"cap {' '.join(_CAN)}\n"
            case ["nodes"]:
                return "".join(f"{node}\n" for node in (self._node, *self._hosts(now))) + ".\n"
            case ["version"]:
                return f"munins node on {self._node} version: steersman\n"
            case ["list", *rest] if len(rest) <= 1:
                node = rest[0] if rest else self._node
                known = self._services(now)
                return " ".join(name for name in known if known[name][1] == node) + "\n"
            case ["config", name]:
                return self._told(name, now, is_config=True)
            case ["fetch", name]:
                return self._told(name, now, is_config=False)
            case _:
                return _UNKNOWN

    def _hosts(self, now: float) -> list[str]:
        nodes = {node for _, node, _ in self._services(now).values()}
        return sorted(nodes - {self._node})

    def _services(self, now: float) -> dict[str, _Service]:
        """Return the graphs that have something to show, with their nodes and subjects.

        A master asks for one after the other: within a second it is told of one moment.
        """
        if now > self._found_at + 1.0:
            self._found, self._found_at = self._find(now), now
        return self._found

    def _find(self, now: float) -> dict[str, _Service]:
        found: dict[str, _Service] = {}
        fresh = self._sheets.fresh(now)
        for graph in GRAPHS:
            subjects = fresh[graph.name]
            if graph.of != "host" and subjects:
                found[graph.name] = (graph, self._node, subjects)
            elif graph.of == "host":
                for host, lines in subjects.items():
                    # Who asks for a service names no node, so its name tells the host.
                    name = f"{graph.name}_{field(host)}"
                    found.setdefault(name, (graph, _node_name(host), {host: lines}))
        return found

    def _told(self, name: str, now: float, *, is_config: bool) -> str:
        service = self._services(now).get(name)
        if service is None:
            return _NO_SERVICE
        graph, node, subjects = service
        said: list[str] = []
        for part, title, lines in self._parts(name, graph, subjects):
            if "multigraph" in self._caps and graph.of != "host":
                said.append(f"multigraph {part}")
            if is_config:
                said += [f"host_name {node}"] if node != self._node else []
                said += config_lines(graph, title, lines)
            if not is_config or "dirtyconfig" in self._caps:
                said += value_lines(graph, lines)
        return "".join(f"{line}\n" for line in said) + ".\n"

    def _parts(
        self, name: str, graph: Graph, subjects: Subjects
    ) -> Iterator[tuple[str, str, Lines]]:
        if graph.of == "host":
            for lines in subjects.values():
                yield name, graph.title, lines
            return
        yield name, f"{graph.title} by {graph.of}", together(graph, subjects)
        if "multigraph" in self._caps:
            for subject, lines in subjects.items():
                title = f"{graph.title} of {_node_name(subject)}"
                yield f"{name}.{field(subject)}", title, lines


def _node_name(text: str) -> str:
    """Return a host's or an app's name with nothing in it that ends a word or a line."""
    return "".join(char if char.isalnum() or char in "._-" else "_" for char in text[:200])
