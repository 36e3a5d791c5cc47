"""The generations of apps on their hosts: which serve, which come, and which still drain."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from steersman.api.errors import SteersmanError
from steersman.control.admission import placed
from steersman.control.live import PATIENCE, Instance, instances_on
from steersman.control.session import Session
from steersman.drivers.hosts import layout_of
from steersman.planning.retiring import linked_number, private_sockets
from steersman.planning.seen import AppSeen

Groups = dict[tuple[str, str, int], list[Instance]]
"""The instances on a host by their app, process and release."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One process of one release on one host. `connections` is None for one without a port."""

    host: str
    app: str
    process: str
    release: int
    state: str
    instances: int
    connections: int | None
    since: datetime | None


async def generations(session: Session, app: str | None) -> tuple[list[Generation], dict[str, str]]:
    """Return the generations of `app`, or of all apps, and why some hosts said nothing."""
    hosts = await session.memory.hosts()
    apps = await session.memory.apps()
    chosen = [await session.memory.app(app)] if app is not None else list(apps.values())
    names = sorted({n for a in chosen for n in (*placed(a, hosts), *a.status.hosts)} & set(hosts))
    instances, silent = await instances_on(session, names, app)
    by_host: dict[str, Groups] = {}
    for each in instances:
        key = each.app, each.process.rpartition(".")[0], each.release
        by_host.setdefault(each.host, {}).setdefault(key, []).append(each)

    async def one(host: str) -> list[Generation]:
        try:
            return await _on_host(session, host, by_host[host])
        except SteersmanError as error:
            silent[host] = str(error).removeprefix(f"host {host}: ")
            return []

    found = await asyncio.gather(*map(one, by_host))
    return [generation for each in found for generation in each], silent


async def _on_host(session: Session, host: str, groups: Groups) -> list[Generation]:
    hosts = await session.memory.hosts()
    link = await session.connect(hosts[host], hosts)
    seen, run = await link.observe(), layout_of(hosts[host].spec).run
    sockets = {
        key: private_sockets(run, f"steersman-{key[0]}.{key[1]}.g{key[2]}@1.service")
        for key in groups
    }
    paths = [path for pair in sockets.values() for path in pair]
    reply = await link.link.call("connections", paths=paths, timeout=PATIENCE)
    opened: Mapping[str, int] = reply.header["open"]
    made = []
    for key, group in groups.items():
        app, process, number = key
        there = seen.app(app)
        is_held = f"{process}.sock" in there.links
        made.append(
            Generation(
                host=host,
                app=app,
                process=process,
                release=number,
                state=state_of(group, process, there),
                instances=len(group),
                connections=sum(opened[path] for path in sockets[key]) if is_held else None,
                since=min((each.since for each in group if each.since is not None), default=None),
            )
        )
    return made


def state_of(group: Sequence[Instance], process: str, app: AppSeen) -> str:
    """Return booting, healthy, serving, draining or failed: what a generation is doing."""
    number = group[0].release
    states = {each.state.partition(" ")[0] for each in group}
    if "failed" in states:
        return "failed"
    if "activating" in states or "start" in states:
        return "booting"
    link = app.links.get(f"{process}.sock")
    serving = linked_number(link) if link is not None else app.current_number
    if serving is None or number > serving:
        return "healthy"
    return "serving" if number == serving else "draining"


def as_object(one: Generation) -> dict[str, Any]:
    """Return a generation in the shape of the api's kinds."""
    spec = {
        key: value for key, value in asdict(one).items() if key != "since" and value is not None
    }
    since = {"creationTimestamp": one.since.isoformat()} if one.since is not None else {}
    name = f"{one.app}.{one.process}.g{one.release}"
    return {
        "apiVersion": "steersman/v1",
        "kind": "Generation",
        "metadata": {"name": name, **since},
        "spec": spec,
    }
