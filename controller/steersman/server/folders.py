"""Manifests that the daemon follows: applied whenever they change on disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog
import watchfiles

from steersman.builds.settled import settled
from steersman.control.apply import Applied, Controller
from steersman.control.following import Wake
from steersman.control.memory import Memory
from steersman.control.secrets import SecretReader
from steersman.manifests import ManifestErrors, Sourced, load_sound
from steersman.manifests.loading import files_in
from steersman.planning.inventory import marked
from steersman.server.validity import mark

log = structlog.get_logger(__name__)

KEY = "Manifests/served"
INVENTORY = "served"
# A save is several events.
DEBOUNCE_MS, STEP_MS = 100, 20

ApplySet = Callable[[Sequence[Sourced], bool], Awaitable[Applied]]
"""Applies a whole set. The flag says whether it is complete: only then may anything be pruned."""


def applying(controller: Controller, secrets: SecretReader) -> ApplySet:
    """Return what applies a set as `steer apply` does, as members of our inventory."""

    async def apply(sourced: Sequence[Sourced], is_complete: bool) -> Applied:
        members = [replace(each, obj=marked(each.obj, INVENTORY)) for each in sourced]
        return await controller.apply(await secrets.read(members))

    return apply


class Manifests:
    """Follows files and folders; `reconcile` is the keeper's for `KEY`."""

    def __init__(
        self, paths: Sequence[str], memory: Memory, apply: ApplySet, *, recursive: bool
    ) -> None:
        self._paths = tuple(os.path.abspath(path) for path in paths)
        self._memory = memory
        self._apply = apply
        self._recursive = recursive
        self._applied: object = None
        self._told: Mapping[str, str] = {}

    async def watch(self, wake: Wake) -> None:
        """Wake `KEY` at once and after every change, until cancelled."""
        wake(KEY)
        # A file is watched by its folder: saving one often puts another in its place.
        folders = {path if os.path.isdir(path) else os.path.dirname(path) for path in self._paths}
        watching = watchfiles.awatch(
            *sorted(folders),
            watch_filter=lambda _, path: self._is_ours(path),
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            recursive=self._recursive,
        )
        async for _ in watching:
            wake(KEY)

    def _is_ours(self, path: str) -> bool:
        return any(path == own or path.startswith(f"{own}/") for own in self._paths)

    async def reconcile(self, name: str, asked: bool) -> None:
        """Apply what the files say, but for those that are broken: their last words hold."""
        await settled(lambda: asyncio.to_thread(self._files))
        sound = await asyncio.to_thread(load_sound, self._paths, recursive=self._recursive)
        said = [(each.file, each.line, each.source.text) for each in sound.objects]
        now = said, sorted(sound.broken)
        await self._tell(sound.broken)
        if now != self._applied and sound.objects:
            await self._apply(sound.objects, not sound.broken)
            # Apps that did not come out well are the keeper's from here on.
            self._applied = now
        await mark(self._memory, INVENTORY, sound)

    def _files(self) -> list[str]:
        found: list[str] = []
        for path in self._paths:
            if os.path.lexists(path):
                found += files_in(path, recursive=self._recursive)
        return found

    async def _tell(self, broken: Mapping[str, ManifestErrors]) -> None:
        """Say what is wrong with each broken file, once."""
        told = {file: str(error) for file, error in broken.items()}
        for file, error in told.items():
            if self._told.get(file) != error:
                log.error("manifest_broken", file=file, error=error)
                first = str(broken[file].problems[0])
                name = Path(file).name
                await self._memory.note("Manifests", name, "Broken", first, type_="Warning")
        for file in self._told.keys() - told.keys():
            log.info("manifest_mended", file=file)
        self._told = told
