"""How the daemon looks after apps: what has drifted is told of all hosts, and mended on each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from laws.fake_host import FakeHost
from laws.fleet import FakeArtifacts, FakeSession, Fleet
from steersman.api.meta import find_condition
from steersman.control.apply import Controller
from steersman.control.drift import SELF_HEAL, Drift
from steersman.control.keeping import SYNCED, Apps
from steersman.planning.seen import FileSeen
from steersman.store.sqlite import SqliteStore

SITE = "/etc/nginx/conf.d/steersman-shop.conf"
APP = {
    "apiVersion": "steersman/v1",
    "kind": "App",
    "metadata": {"name": "shop", "annotations": {SELF_HEAL: "off"}},
    "spec": {
        "source": {"path": "/good"},
        "processes": {"web": {"command": "gunicorn shop.wsgi", "port": "http"}},
        "routes": [{"host": "shop.example.com", "process": "web"}],
    },
}


@dataclass
class Kept:
    """An app on two hosts."""

    fleet: Fleet
    session: Any
    apps: Apps
    woken: list[str]

    def edit(self, host: str) -> None:
        site = self.fleet.hosts[host].files[SITE]
        assert isinstance(site, FileSeen)
        self.fleet.hosts[host].files[SITE] = replace(site, sha256="by hand")

    def is_edited(self, host: str) -> bool:
        site = self.fleet.hosts[host].files[SITE]
        return isinstance(site, FileSeen) and site.sha256 == "by hand"

    async def look(self, host: str) -> None:
        """Look after what changed on a host, and after what that wakes."""
        await self.apps.drift(f"shop@{host}", False)
        while self.woken:
            await self.apps.app(self.woken.pop().removeprefix("App/"), False)

    async def said(self) -> tuple[str, str] | None:
        told = find_condition((await self.session.memory.app("shop")).status.conditions, SYNCED)
        return None if told is None else (told.reason, told.message)


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    fleet, woken = Fleet({"h1": FakeHost(), "h2": FakeHost()}), list[str]()
    async with SqliteStore(tmp_path / "state") as store:
        session: Any = FakeSession(fleet, store)
        session.silent = {}
        artifacts: Any = FakeArtifacts()
        controller = Controller(session, artifacts)
        for host in fleet.documents():
            await session.memory.put(host)
        await store.put(APP)
        assert (await controller.reconcile("shop")).is_good
        apps = Apps(session, controller, Drift(session, artifacts), woken.append)
        yield Kept(fleet, session, apps, woken)


async def test_a_host_that_is_well_does_not_speak_for_another(kept: Kept) -> None:
    await kept.look("h1")
    assert await kept.said() is None
    kept.edit("h2")
    drifted = f"h2: test and install site {SITE} (it is not what its routes ask for)"
    for host in ("h2", "h1"):
        await kept.look(host)
        assert await kept.said() == ("OutOfSync", drifted)
    assert kept.is_edited("h2")


async def test_what_drifted_is_mended_where_it_did(kept: Kept) -> None:
    await kept.session.memory.store.put({**APP, "metadata": {"name": "shop"}})
    await kept.look("h1")
    kept.edit("h1")
    kept.edit("h2")
    await kept.look("h2")
    assert not kept.is_edited("h2")
    assert kept.is_edited("h1")
