"""Source folders of followed manifests: what is saved in one is deployed, without being asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog
import watchfiles

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.builds.errors import BuildError
from steersman.builds.folders import LEFT_OUT, is_dropping
from steersman.builds.settled import Looks, look
from steersman.control.artifacts import Artifacts
from steersman.control.following import Wake
from steersman.control.memory import Memory
from steersman.planning.inventory import inventory_of
from steersman.server.folders import DEBOUNCE_MS, INVENTORY, STEP_MS

NOTICE_MS = 1000
"""How soon another source, or a folder that is there now, is noticed."""

log = structlog.get_logger(__name__)


class Sources:
    """Watches the folders that apps of followed manifests are made from.

    Only says that an app is to be looked at: whoever does waits until the folder rests, and makes
    no release of what is as before. A rollout of an earlier save is told to give up (`overtake`):
    its end may be long in coming, and nobody waits for it any more.
    """

    def __init__(
        self,
        memory: Memory,
        artifacts: Artifacts,
        overtake: Callable[[str], Awaitable[None]],
        wake: Wake,
    ) -> None:
        self._memory = memory
        self._artifacts = artifacts
        self._overtake = overtake
        self._wake = wake
        self._looks: dict[str, Looks] = {}

    async def watch(self) -> None:
        """Wake apps until cancelled."""
        while True:
            apps = await self._apps()
            if not apps:
                await asyncio.sleep(NOTICE_MS / 1000)
                continue
            folders = sorted({folder_of(app) for app in apps.values()})
            async for changes in watchfiles.awatch(
                *folders,
                watch_filter=partial(_may_matter, folders),
                debounce=DEBOUNCE_MS,
                step=STEP_MS,
                rust_timeout=NOTICE_MS,
                yield_on_timeout=True,
            ):
                await self._look(apps, {path for _, path in changes})
                if _watched(await self._apps()) != _watched(apps):
                    break

    async def _apps(self) -> dict[str, App]:
        """Return the apps of followed manifests whose source is a folder that is there."""
        apps = (await self._memory.apps()).values()
        return {
            app.name: app
            for app in apps
            if app.spec.source.path is not None
            and inventory_of(app) == INVENTORY
            and os.path.isdir(folder_of(app))
        }

    async def _look(self, apps: Mapping[str, App], changed: set[str]) -> None:
        """Wake the apps whose files are others than when they were looked at last."""
        for name, app in apps.items():
            folder, before = folder_of(app), self._looks.get(name)
            if before is not None and not any(path.startswith(f"{folder}/") for path in changed):
                continue
            try:
                files = await self._artifacts.listed(app.spec.source)
            except BuildError as error:
                log.warning("source_not_listed", app=name, why=str(error))
                continue
            now = self._looks[name] = await asyncio.to_thread(look, files)
            # What was saved while nobody watched is seen by looking once.
            if now != before:
                log.info("source_changed", app=name, files=_differing(before, now))
                await self._tell(app)

    async def _tell(self, app: App) -> None:
        self._wake(app.key)
        try:
            await self._overtake(app.name)
        except SteersmanError as error:
            # Whoever looks at the app meets the same, and says so where it is looked for.
            log.warning("rollout_not_overtaken", app=app.name, why=str(error))


def folder_of(app: App) -> str:
    """Return the folder that is an app's source, by its real name: as events have it."""
    return str(Path(app.spec.source.path or "").expanduser().resolve())


def _watched(apps: Mapping[str, App]) -> set[tuple[str, str]]:
    return {(name, folder_of(app)) for name, app in apps.items()}


def _may_matter(folders: Sequence[str], _: watchfiles.Change, path: str) -> bool:
    """Whether a change can be one of a source: git is asked about those that can."""
    for folder in folders:
        if path.startswith(f"{folder}/"):
            inner = path[len(folder) + 1 :].split("/")
            if not LEFT_OUT.intersection(inner) and not is_dropping(inner[-1]):
                return True
    return False


def _differing(before: Looks | None, now: Looks) -> int:
    if before is None:
        return len(now)
    return sum(before.get(path) != now.get(path) for path in before.keys() | now.keys())
