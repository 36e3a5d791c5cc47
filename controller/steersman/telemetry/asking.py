"""What a host is asked to tell of, and whether apps have changed since it was."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from steersman.control.hosts import HostLink
from steersman.control.memory import Memory
from steersman.control.traffic import access_settings
from steersman.store.protocol import Query
from steersman.telemetry.anew import ever_anew

AGAIN = 5.0
"""Seconds until the store is followed anew after a failure."""
Asked = dict[str, dict[str, Any]]
"""The settings of each source."""


class Asking:
    """`changes` grows with every change of an app: until it does, `of` answers as it did."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.changes = 0

    async def follow(self) -> None:
        """Follow the store until cancelled."""
        await ever_anew(self._follow_from_here, "listening", "apps_not_followed", AGAIN)

    async def _follow_from_here(self) -> None:
        store = self._memory.store
        watch = store.watch(await store.revision(), Query.of("App"))
        # What came before is in the revision, and what was missed may be anything.
        self.changes += 1
        async with aclosing(watch) as seen:
            async for change in seen:
                if change.type != "BOOKMARK":
                    self.changes += 1

    async def of(self, link: HostLink) -> Asked:
        """Return the settings of each source of a host, as apps are now."""
        known = await self._memory.apps()
        apps = [known[name] for name in await self._memory.apps_on(link.name) if name in known]
        return {
            "lines": {},
            "processes": {},
            "host": {},
            "statsd": {},
            "access": access_settings(link.host.spec, apps),
        }


def from_their_start(at: dict[str, Any], before: Asked | None, asked: Asked) -> dict[str, Any]:
    """Return positions at which the access logs of apps that came since `before` begin.

    A log without a position is read from its end on, and an app has answered before anybody
    asked for its log.
    """
    if before is None:
        return at
    come = asked["access"]["logs"].keys() - before["access"]["logs"].keys()
    return {**at, "access": {**dict.fromkeys(come, (0, 0)), **(at.get("access") or {})}}
