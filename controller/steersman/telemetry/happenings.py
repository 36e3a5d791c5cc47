"""The controller's events as signals, whoever records them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any

import structlog

from steersman.api.mask import Masks
from steersman.api.release import Release
from steersman.api.signals import Happening, Origin
from steersman.control.memory import Memory, NotFound
from steersman.store.errors import Compacted
from steersman.store.protocol import EVENT, Change, Query
from steersman.telemetry.hub import Hub

log = structlog.get_logger(__name__)

AGAIN = 1.0
_DEPLOYED = "Deployed"


class Happenings:
    """Publishes each event after the revision `since`, and each time that one comes again."""

    def __init__(self, memory: Memory, masks: Masks, hub: Hub, since: int) -> None:
        self._memory, self._masks, self._hub = memory, masks, hub
        self._revision = since

    async def run(self) -> None:
        """Follow the store's events until cancelled."""
        while True:
            try:
                watch = self._memory.store.watch(self._revision, Query.of(EVENT))
                async with aclosing(watch) as changes:
                    async for change in changes:
                        self._revision = change.revision
                        if change.type in ("ADDED", "MODIFIED"):
                            await self._publish(change)
            except Compacted:
                self._revision = await self._memory.store.revision()
                log.warning("events_missed")
            except Exception:
                log.exception("events_not_followed")
                await asyncio.sleep(AGAIN)

    async def _publish(self, change: Change) -> None:
        spec: Mapping[str, Any] = change.object["spec"]
        involved = spec["involved"]
        kind, name, reason = involved["kind"], involved["name"], spec["reason"]
        self._hub.publish(
            Happening(
                time=datetime.fromisoformat(spec["time"]).timestamp(),
                origin=await self._origin(kind, name, reason, spec.get("host") or ""),
                about=f"{kind}/{name}",
                reason=reason,
                message=self._masks.text(spec["message"]),
                is_warning=spec.get("type") == "Warning",
            )
        )

    async def _origin(self, kind: str, name: str, reason: str, host: str) -> Origin:
        if kind != "App":
            app = await self._app_of_job(name) if kind == "Job" else ""
            return Origin(app=app, host=host or (name if kind == "Host" else ""))
        release = _meant(await self._memory.releases(name), reason)
        if release is None:
            return Origin(app=name, host=host)
        spec = release.spec
        return Origin(app=name, host=host, release=spec.number, commit=spec.commit or "")

    async def _app_of_job(self, name: str) -> str:
        try:
            return (await self._memory.job(name)).spec.app
        except NotFound:
            return ""


def _meant(releases: list[Release], reason: str) -> Release | None:
    """Return the release that an event of an app is about: the newest, or the one that serves."""
    if reason == _DEPLOYED:
        releases = [each for each in releases if each.status.state == "deployed"]
    return releases[-1] if releases else None
