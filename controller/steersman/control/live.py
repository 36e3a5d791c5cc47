"""How processes are on the hosts just now, asked with little patience."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from steersman.api.errors import SteersmanError
from steersman.control.hosts import HostLink
from steersman.control.session import Session
from steersman.planning.seen import UnitName, parse_unit

PATIENCE = 5.0
# What systemd says where it does not count.
_UNKNOWN = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a process on a host, named as in `web.1`."""

    host: str
    app: str
    process: str
    release: int
    state: str
    restarts: int
    pid: int
    memory: int | None
    since: datetime | None


async def instances_on(
    session: Session, names: Sequence[str], app: str | None = None
) -> tuple[list[Instance], dict[str, str]]:
    """Return the instances on hosts (of one app, or of all), and why other hosts said nothing."""
    hosts = await session.memory.hosts()

    async def one(name: str) -> list[Instance] | str:
        if name not in hosts:
            return "it is not known"
        try:
            async with asyncio.timeout(PATIENCE):
                return await _instances(await session.connect(hosts[name], hosts), app)
        except TimeoutError:
            return f"no answer within {PATIENCE:g} s"
        except SteersmanError as error:
            return str(error).removeprefix(f"host {name}: ")

    answers = dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))
    found = [each for answer in answers.values() if isinstance(answer, list) for each in answer]
    return found, {name: answer for name, answer in answers.items() if isinstance(answer, str)}


async def _instances(link: HostLink, app: str | None) -> list[Instance]:
    units = (await link.observe()).units
    named = {unit: name for unit in units if (name := parse_unit(unit)) is not None}
    wanted = {
        unit: name
        for unit, name in named.items()
        if name.part is None and name.instance is not None and app in (None, name.app)
    }
    reply = await link.link.call("details", names=sorted(wanted), timeout=PATIENCE)
    details: Mapping[str, Mapping[str, Any]] = reply.header["units"]
    return [
        _instance(link.name, wanted[unit], details[unit])
        for unit in sorted(details)
        if unit in wanted
    ]


def _instance(host: str, name: UnitName, detail: Mapping[str, Any]) -> Instance:
    memory, since = int(detail["memory"]), int(detail["since"])
    state = str(detail["sub"]) if detail["active"] == "active" else str(detail["active"])
    if detail["result"] not in ("success", ""):
        state += f" ({detail['result']})"
    return Instance(
        host=host,
        app=name.app,
        process=f"{name.process}.{name.instance}",
        release=name.number,
        state=state,
        restarts=int(detail["restarts"]),
        pid=int(detail["pid"]),
        memory=memory if 0 < memory < _UNKNOWN else None,
        since=datetime.fromtimestamp(since / 1e6, UTC) if since else None,
    )
