"""Fake hosts under the real controller: every step can be the last, and any host can be away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from laws.fake_host import FakeHost
from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.api.host import Host
from steersman.api.mask import Masks
from steersman.api.objects import parse_object
from steersman.api.source import Source
from steersman.builds import PathSource, Resolved
from steersman.control.apply import Controller
from steersman.control.hosts import HostLink, claims_of
from steersman.control.memory import Memory
from steersman.control.report import Reporter, Silent
from steersman.control.turns import Turn
from steersman.control.vault import Vault
from steersman.planning import steps as s
from steersman.planning.seen import HostSeen, parse_unit
from steersman.planning.target import BuildTarget
from steersman.sealing.keyring import Keyring
from steersman.store.sqlite import SqliteStore
from steersman.transport.errors import hand_error
from steersman.transport.frames import Reply

NO_ANSWERS = {"requests": 0, "errors": 0, "cut": 0, "latency": []}
SIDES = ("current", "old", "unsure")
HELLO = {
    "python": "3.11",
    "pythons": ["3.11"],
    "machine": "x86_64",
    "libc": ["glibc", "2.36"],
    "proxy_group": "www-data",
    "systemd": 252,
    "socket_proxyd": "/lib/systemd/systemd-socket-proxyd",
    "epoch": 0,
}


class Killed(BaseException):
    """The controller died: nothing of it may catch this."""


@dataclass
class Fleet:
    """Hosts that outlive controllers. `fuse` counts the steps until the controller dies."""

    hosts: dict[str, FakeHost]
    away: set[str] = field(default_factory=set)
    fuse: int | None = None
    epochs: dict[str, int] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    records: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """What release.json says, by host and release."""
    refused: set[str] = field(default_factory=set)
    """The hosts that a release was ever unhealthy on."""
    made: list[tuple[str, s.Step]] = field(default_factory=list)
    """Every step that was made, and where."""
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What every host's log says of each side of its last switch."""
    on_claim: Callable[[str], object] = lambda name: None
    """What somebody else does to a host just before it is claimed."""
    on_soak: Callable[[str], object] = lambda name: None
    """What befalls a host while a release proves itself there."""

    def traffic(self, name: str) -> dict[str, Any]:
        """Return what a host's hand reads in the proxy's log."""
        counts = {side: {**NO_ANSWERS, **self.answers.get(side, {})} for side in SIDES}
        return {"generation": max(self.hosts[name].serving(), default=0), "age": 9.0, **counts}

    def documents(self) -> list[Host]:
        made = [
            parse_object(
                {
                    "apiVersion": "steersman/v1",
                    "kind": "Host",
                    "metadata": {"name": name},
                    "spec": {"address": f"{name}.example.com"},
                }
            )
            for name in self.hosts
        ]
        return [host for host in made if isinstance(host, Host)]

    def burn(self) -> None:
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise Killed


class FakeWire:
    """What a Link is to a HostLink."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.fleet = fleet
        self.name = name
        self.hello = {**HELLO, "epoch": fleet.epochs.get(name, 0)}

    async def call(self, op: str, /, **args: Any) -> Reply:
        if op == "claim":
            self.fleet.on_claim(self.name)
            epoch = max(args["at_least"], self.fleet.epochs.get(self.name, 0) + 1)
            self.fleet.epochs[self.name] = epoch
            return Reply({"epoch": epoch}, b"")
        if op == "records":
            made = self.fleet.hosts[self.name].releases
            told = {name: self.fleet.records[self.name, name] for name in made}
            return Reply({"releases": json.loads(json.dumps(told))}, b"")
        answers: dict[str, dict[str, Any]] = {
            "details": {"units": {}},
            "let_go": {},
            "traffic": self.fleet.traffic(self.name),
            "tail": {"lines": []},
        }
        return Reply(answers[op], b"")


class FakeLink(HostLink):
    """The real one's memory and claims over a host in memory."""

    wire: FakeWire

    async def _look(self) -> HostSeen:
        self._reach()
        now = self.wire.fleet.hosts[self.name].seen()
        if self._seen is None or now != self._seen:
            self._seen = now
        return self._seen

    def _reach(self) -> None:
        if self.name in self.wire.fleet.away:
            raise HostUnreachable(self.name, "the link was lost")

    async def reopen(self) -> None:
        self._reach()

    async def apply(self, app: str, step: s.Step, number: int, of: int, report: Reporter) -> None:
        self._reach()
        fleet = self.wire.fleet
        fleet.burn()
        fleet.made.append((self.name, step))
        if isinstance(step, s.Soak):
            fleet.on_soak(self.name)
        if isinstance(step, s.PassGate | s.Soak):
            self._judge(step)
        if isinstance(step, s.MakeRelease):
            fleet.contents[step.name.partition("-")[0]] = str(step.record["content"])
            fleet.records[self.name, step.name] = step.record
        fleet.hosts[self.name].make(step)
        self._changes += 1

    def _judge(self, step: s.PassGate | s.Soak) -> None:
        """`bad` code never gets healthy, `sour` code does not stay so; `-on-h1` there alone."""
        units = [unit for process in step.processes for unit in process["units"]]
        named = [name for unit in units if (name := parse_unit(unit)) is not None]
        content = self.wire.fleet.contents[str(named[0].number)]
        wrong = "bad" if isinstance(step, s.PassGate) else "sour"
        if re.search(rf"{wrong}(?!-on-)|{wrong}-on-{self.name}\b", content):
            self.wire.fleet.refused.add(self.name)
            error = {"kind": "unhealthy", "message": f"{content} is {wrong}", "logs": ["oh"]}
            raise hand_error(self.name, error)


class FakeArtifacts:
    """Builds that are their sources' names."""

    async def resolve(self, source: Source) -> Resolved:
        path = source.path or ""
        return Resolved("path", PathSource(path), path, path)

    async def build(self, resolved: Resolved, *_: object) -> str:
        return resolved.content

    def news(self, *_: object) -> None:
        return None

    async def target(self, content: str, *_: object) -> BuildTarget:
        return BuildTarget(content, f"manifest of {content}", "3.11", (f"manifest of {content}",))


class FakeSession:
    """One run's links to the fleet."""

    def __init__(self, fleet: Fleet, store: SqliteStore) -> None:
        self.report = Silent()
        self.memory = Memory(store)
        self.vault = Vault(self.memory, Keyring(store.path.parent / "no.key"))
        self.turn = Turn(self.report, 0)
        self.wanted: dict[Any, Any] = {}
        self._fleet = fleet
        self._links: dict[str, FakeLink] = {}
        self._held: set[HostLink] = set()

    async def let_go(self, app: str) -> None:
        for link in tuple(self._held):
            await link.let_go(*claims_of(app))

    async def connect_all(
        self, names: Iterable[str], hosts: Mapping[str, Host]
    ) -> tuple[dict[str, FakeLink], dict[str, SteersmanError]]:
        wanted = [name for name in dict.fromkeys(names) if name in hosts]
        lost = {
            name: HostUnreachable(name, "no route to host")
            for name in wanted
            if name in self._fleet.away
        }
        return {name: self._link(hosts[name]) for name in wanted if name not in lost}, dict(lost)

    async def connect(self, host: Host, hosts: Mapping[str, Host]) -> FakeLink:
        links, errors = await self.connect_all([host.name], {**hosts, host.name: host})
        for error in errors.values():
            raise error
        return links[host.name]

    def _link(self, host: Host) -> FakeLink:
        if host.name not in self._links:
            self._links[host.name] = self._open(host)
        return self._links[host.name]

    def _open(self, host: Host) -> FakeLink:
        wire = FakeWire(self._fleet, host.name)
        made = FakeLink(host, wire, Path, self._above, self._never, self.turn, Masks(), self._held)  # type: ignore[arg-type]
        made.wire = wire
        return made

    async def _above(self, seen: int) -> int:
        return await self.memory.store.next_epoch(seen + 1)

    async def _never(self) -> Any:
        raise AssertionError("a fake link has no other link to reopen")


def controller(fleet: Fleet, store: SqliteStore) -> tuple[Controller, Memory]:
    """Return a new run's controller over the fleet, and its memory."""
    session = FakeSession(fleet, store)
    return Controller(session, FakeArtifacts()), session.memory  # type: ignore[arg-type]
