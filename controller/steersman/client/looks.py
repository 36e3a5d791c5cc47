"""What verbs ask of hosts, asked through a daemon."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Literal

from steersman.api.host import Host
from steersman.client.api import Api
from steersman.client.controller import sent, wire
from steersman.client.errors import DaemonLost
from steersman.client.paths import path_of
from steersman.client.program import Dial, RemoteProgram
from steersman.control.changes import ObjectChange
from steersman.control.checklist import Finding
from steersman.control.faults import raise_all
from steersman.control.live import Instance
from steersman.control.logs import Labels, Lack, Line, Told, Wanted
from steersman.control.looks import Silent
from steersman.control.plugins import PluginType, Probed
from steersman.control.programs import Program, Wish
from steersman.control.trust import Key, Shown
from steersman.manifests.document import Sourced


class RemoteLooks:
    """The same methods as `control.looks.OwnLooks`."""

    def __init__(self, api: Api, dial: Dial) -> None:
        self._api = api
        self._dial = dial

    async def instances(
        self, hosts: Sequence[str], app: str | None = None
    ) -> tuple[list[Instance], Silent]:
        params: dict[str, str | int | list[str]] = {"host": list(hosts)}
        params |= {"app": app} if app is not None else {}
        found = await self._api.json("GET", "/instances", params=params)
        return [_instance(each) for each in found["instances"]], found["silent"]

    async def generations(self, app: str | None) -> tuple[list[dict[str, Any]], Silent]:
        params = {"app": app} if app is not None else {}
        found = await self._api.json("GET", "/generations", params=params)
        return found["items"], found["silent"]

    async def check(
        self, given: Mapping[str, Host], names: Sequence[str]
    ) -> dict[str, list[Finding]]:
        data = {"names": list(names), "hosts": _hosts(given)}
        found = await self._api.told("/hostchecks", data)
        return {name: [Finding(**each) for each in found[name]] for name in names}

    async def plugin_types(self) -> list[PluginType]:
        found = await self._api.json("GET", "/plugintypes")
        return [PluginType(**{**each, "takes": tuple(each["takes"])}) for each in found["types"]]

    async def probe(self, plugin: str) -> list[Probed]:
        found = await self._api.told(f"{path_of('Plugin', plugin)}/probe")
        return [Probed(**each) for each in found]

    async def changes(self, sourced: Sequence[Sourced]) -> list[ObjectChange]:
        found = await self._api.json("POST", "/changes", data=sent(self._api, sourced))
        return [ObjectChange(**each) for each in found["changes"]]

    async def logs(
        self,
        kind: Literal["App", "Job"],
        name: str,
        process: str | None,
        host: str | None,
        wanted: Wanted,
    ) -> AsyncGenerator[Told]:
        given = {"process": process, "host": host, "follow": "true" if wanted.is_followed else None}
        params: dict[str, str | int | list[str]] = {k: v for k, v in given.items() if v is not None}
        if wanted.since:
            params["since"] = wanted.since.removeprefix("-").removesuffix("s")
        if wanted.lines >= 0:
            params["tail"] = wanted.lines
        lines = self._api.lines("GET", f"{path_of(kind, name)}/logs", params=params)
        async with aclosing(lines) as told:
            async for each in told:
                if "line" in each:
                    yield Line(*each["line"])
                elif "labels" in each:
                    yield Labels(tuple(each["labels"]))
                elif "lack" in each:
                    yield Lack(each["lack"])
                elif "faults" in each:
                    raise_all(each["faults"])
                elif "end" in each:
                    return
        raise DaemonLost(self._api.context.server)

    async def program(self, app: str, host: str, wish: Wish) -> Program:
        program = RemoteProgram(self._api.context, self._dial, app, host, wish)
        await program.open()
        return program

    async def host_keys(self, given: Mapping[str, Host], name: str) -> Shown:
        found = await self._api.told("/hostkeys", {"name": name, "hosts": _hosts(given)})
        return Shown(tuple(Key(**each) for each in found["keys"]), frozenset(found["pinned"]))

    async def trust(
        self, given: Mapping[str, Host], name: str, lines: Sequence[str], *, is_replacing: bool
    ) -> str:
        data = {"name": name, "hosts": _hosts(given), "lines": list(lines)}
        return str(await self._api.told("/hosttrust", {**data, "replace": is_replacing}))


def _hosts(given: Mapping[str, Host]) -> list[dict[str, Any]]:
    return [wire(each) for each in given.values()]


def _instance(data: Mapping[str, Any]) -> Instance:
    since = datetime.fromisoformat(data["since"]) if data["since"] is not None else None
    return Instance(**{**data, "since": since})
