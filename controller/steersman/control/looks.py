"""How things are just now: what verbs ask of the hosts without changing anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal, Protocol

from steersman.api.host import Host
from steersman.control.apply import Controller
from steersman.control.changes import ObjectChange, changes_of
from steersman.control.checklist import Finding, examine
from steersman.control.generations import as_object, generations
from steersman.control.live import Instance, instances_on
from steersman.control.logs import Told, Wanted, app_logs, job_logs
from steersman.control.memory import Memory, NotFound
from steersman.control.plugins import PluginType, Probed, plugin_types, probe
from steersman.control.programs import Program, Wish, opened_program
from steersman.control.session import Session
from steersman.control.trust import Shown, pin, shown_keys
from steersman.manifests.document import Sourced
from steersman.transport.known_hosts import KnownHosts

Silent = dict[str, str]
"""Why hosts said nothing, by their names."""


class Looks(Protocol):
    """What verbs ask of hosts; the controller answers, wherever it runs."""

    async def instances(
        self, hosts: Sequence[str], app: str | None = None
    ) -> tuple[list[Instance], Silent]:
        """Return the instances on hosts (of one app, or of all), and which hosts are silent."""
        ...

    async def generations(self, app: str | None) -> tuple[list[dict[str, Any]], Silent]:
        """Return the generations of one app, or of all, in the shape of the API's kinds."""
        ...

    async def check(
        self, given: Mapping[str, Host], names: Sequence[str]
    ) -> dict[str, list[Finding]]:
        """Return the checklist of each host; `given` need not be known to the controller."""
        ...

    async def changes(self, sourced: Sequence[Sourced]) -> list[ObjectChange]:
        """Return what applying would change of the objects themselves."""
        ...

    def logs(
        self,
        kind: Literal["App", "Job"],
        name: str,
        process: str | None,
        host: str | None,
        wanted: Wanted,
    ) -> AsyncGenerator[Told]: ...

    async def plugin_types(self) -> list[PluginType]:
        """Return the types of plugins that are installed where the controller runs."""
        ...

    async def probe(self, plugin: str) -> list[Probed]:
        """Have a plugin ship a probe of each kind that it takes; return how that went."""
        ...

    async def program(self, app: str, host: str, wish: Wish) -> Program:
        """Return a program to be run on a host; raises what is in its way."""
        ...

    async def host_keys(self, given: Mapping[str, Host], name: str) -> Shown:
        """Return the keys that a host shows, and those that the controller trusts."""
        ...

    async def trust(
        self, given: Mapping[str, Host], name: str, lines: Sequence[str], *, is_replacing: bool
    ) -> str:
        """Have the controller trust keys of a host; return where it remembers them."""
        ...


class OwnLooks:
    """The Looks of a controller in this process."""

    def __init__(self, session: Session, controller: Controller, trusted: KnownHosts) -> None:
        self._session = session
        self._memory: Memory = session.memory
        self._controller = controller
        self._trusted = trusted

    async def instances(
        self, hosts: Sequence[str], app: str | None = None
    ) -> tuple[list[Instance], Silent]:
        return await instances_on(self._session, hosts, app)

    async def plugin_types(self) -> list[PluginType]:
        return await plugin_types()

    async def probe(self, plugin: str) -> list[Probed]:
        return await probe(self._memory, self._session.vault, plugin)

    async def generations(self, app: str | None) -> tuple[list[dict[str, Any]], Silent]:
        found, silent = await generations(self._session, app)
        return [as_object(one) for one in found], silent

    async def check(
        self, given: Mapping[str, Host], names: Sequence[str]
    ) -> dict[str, list[Finding]]:
        hosts = await self._hosts(given)
        chosen = [_named(name, hosts) for name in names]
        found = await asyncio.gather(*(examine(self._session, host, hosts) for host in chosen))
        return dict(zip(names, found, strict=True))

    async def changes(self, sourced: Sequence[Sourced]) -> list[ObjectChange]:
        return await changes_of(self._session, sourced)

    def logs(
        self,
        kind: Literal["App", "Job"],
        name: str,
        process: str | None,
        host: str | None,
        wanted: Wanted,
    ) -> AsyncGenerator[Told]:
        if kind == "Job":
            return job_logs(self._session, self._controller.jobs, name, host, wanted)
        return app_logs(self._session, name, process, host, wanted)

    async def program(self, app: str, host: str, wish: Wish) -> Program:
        return await opened_program(self._session, app, host, wish)

    async def host_keys(self, given: Mapping[str, Host], name: str) -> Shown:
        hosts = await self._hosts(given)
        return await shown_keys(self._trusted, _named(name, hosts), hosts)

    async def trust(
        self, given: Mapping[str, Host], name: str, lines: Sequence[str], *, is_replacing: bool
    ) -> str:
        hosts = await self._hosts(given)
        return pin(self._trusted, _named(name, hosts), hosts, lines, is_replacing=is_replacing)

    async def _hosts(self, given: Mapping[str, Host]) -> dict[str, Host]:
        return {**await self._memory.hosts(), **given}


def _named(name: str, hosts: Mapping[str, Host]) -> Host:
    if name not in hosts:
        raise NotFound("Host", name)
    return hosts[name]
