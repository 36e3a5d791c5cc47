"""Hears of every change of what is wanted, and wakes what it concerns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

import structlog

from steersman.api.app import App
from steersman.api.host import Host
from steersman.control.admission import placed
from steersman.control.drift import SELF_HEAL
from steersman.control.memory import Memory
from steersman.store.errors import Compacted
from steersman.store.protocol import Change, Object, Page, Query

log = structlog.get_logger(__name__)

GRACE = 0.25
"""Seconds after a change in which whoever made it may bring it to the hosts: a verb tells a person
how that goes, and then nothing is left to do."""
FOLLOWED = ("App", "Host", "Secret", "Job", "Repository")
_OURS = "steersman/"


class Wake(Protocol):
    """What the keeper offers to whoever learns of something."""

    def __call__(self, key: str, *, asked: bool = True, after: float = 0.0) -> None: ...


class Follower:
    """Follows the store from one listing on; what was missed is made up by listing again.

    `hosts_changed` is told the hosts whenever one of them changes; `gone(key)` that an object is.
    """

    def __init__(
        self,
        memory: Memory,
        wake: Wake,
        gone: Callable[[str], None],
        hosts_changed: Callable[[Mapping[str, Host]], Awaitable[None]],
    ) -> None:
        self._memory = memory
        self._wake = wake
        self._gone = gone
        self._hosts_changed = hosts_changed
        self._known: dict[tuple[str, str], _Wish] = {}
        self._places: dict[str, frozenset[str]] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            revision = await self._begin()
            try:
                watch = self._memory.store.watch(revision, Query.of(*FOLLOWED))
                async with aclosing(watch) as changes:
                    async for change in changes:
                        await self._heard(change)
            except Compacted:
                log.warning("store_followed_anew", revision=revision)

    async def _begin(self) -> int:
        """Wake every app, and everything else that is not as it was last known."""
        page: Page = await self._memory.store.page(Query.of(*FOLLOWED))
        apps = {stored.name for stored in page.items if stored.kind == "App"}
        for kind, name in [key for key in self._known if key[0] == "App" and key[1] not in apps]:
            del self._known[kind, name]
            self._gone(f"{kind}/{name}")
        for stored in page.items:
            self._known[stored.kind, stored.name] = _wish_of(stored.object)
            if stored.kind == "App":
                seen = stored.status.get("observedGeneration", 0)
                self._wake(f"App/{stored.name}", asked=seen != stored.generation)
            elif stored.kind == "Repository":
                self._wake(f"Repository/{stored.name}")
        hosts = await self._memory.hosts()
        self._places = _places(await self._memory.apps(), hosts)
        await self._hosts_changed(hosts)
        return page.revision

    async def _heard(self, change: Change) -> None:
        key = change.kind, change.name
        if change.type == "DELETED":
            self._known.pop(key, None)
            self._gone(f"{change.kind}/{change.name}")
            if change.kind == "Host":
                await self._placed_anew()
            return
        if change.type == "BOOKMARK":
            return
        before, wish = self._known.get(key), _wish_of(change.object)
        if before == wish:
            return  # only what is has changed, not what is wanted
        self._known[key] = wish
        if change.kind in ("App", "Repository"):
            asked = before is None or before.wanted != wish.wanted
            self._wake(f"{change.kind}/{change.name}", asked=asked, after=GRACE)
        elif change.kind == "Job":
            self._wake(f"App/{change.object['spec']['app']}", after=GRACE)
        elif change.kind == "Secret":
            await self._secret_changed(change.name)
        if change.kind in ("App", "Host"):
            await self._placed_anew()

    async def _secret_changed(self, name: str) -> None:
        for app in (await self._memory.apps()).values():
            if name in app.spec.config.secrets:
                self._wake(app.key, after=GRACE)

    async def _placed_anew(self) -> None:
        """Wake the apps whose hosts are others now than they were."""
        apps, hosts = await self._memory.apps(), await self._memory.hosts()
        before, self._places = self._places, _places(apps, hosts)
        for name, places in self._places.items():
            if name in before and before[name] != places:
                self._wake(f"App/{name}", after=GRACE)
        await self._hosts_changed(hosts)


def _places(apps: Mapping[str, App], hosts: Mapping[str, Host]) -> dict[str, frozenset[str]]:
    return {name: frozenset(placed(app, hosts)) for name, app in apps.items()}


@dataclass(frozen=True, slots=True)
class _Wish:
    """What of an object says what is wanted; its status says only what is.

    Other `marks` (labels, notes, whether it is healed) have an app looked at, which is not yet
    asking for anything: one that is not to be healed must not be for having been labelled.
    """

    wanted: object
    marks: object


def _wish_of(obj: Object) -> _Wish:
    metadata = obj["metadata"]
    notes = metadata.get("annotations") or {}
    asking = {key for key in notes if key.startswith(_OURS) and key != SELF_HEAL}
    # A Secret's version is in its status, and wanting other values is wanting another version.
    version = obj.get("status", {}).get("version") if obj["kind"] == "Secret" else None
    end = metadata.get("deletionTimestamp")
    wanted = {key: notes[key] for key in asking}
    return _Wish(
        (metadata["uid"], metadata["generation"], wanted, end, version),
        (metadata.get("labels"), {key: notes[key] for key in notes if key not in asking}),
    )
