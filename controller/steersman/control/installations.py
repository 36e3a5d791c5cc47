"""Installations of charts as the store remembers them: revisions, and who works on one now."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from steersman.api.errors import SteersmanError
from steersman.api.installation import (
    Installation,
    InstallationSpec,
    InstallationState,
    InstallationStatus,
)
from steersman.api.meta import ObjectMeta
from steersman.api.names import release_name
from steersman.api.objects import dump_object, parse_object
from steersman.control.session import whoever
from steersman.store.protocol import Stored

KIND = "Installation"
KEPT = 10
"""How many revisions are remembered of each installation."""
SIGN_EVERY, DEAD_AFTER = 15.0, 60.0

_GOOD: tuple[InstallationState, ...] = ("deployed", "superseded")


class Objects(Protocol):
    """What of a store is needed; one on the other side of an API has it too."""

    async def get(self, kind: str, name: str) -> Stored | None: ...
    async def list(self, kind: str) -> tuple[Stored, ...]: ...
    async def put(
        self, target: dict[str, Any], expected_resource_version: int | None = None
    ) -> Stored: ...
    async def put_status(self, kind: str, name: str, status: dict[str, Any]) -> Stored: ...
    async def delete(self, kind: str, name: str) -> Stored | None: ...


class NotInstalled(SteersmanError):
    """There is no such installation, or no such revision of it."""

    def __init__(self, name: str, what: str = "is not installed") -> None:
        super().__init__(
            f"installation {name} {what}; `steer chart list --all` shows what there is"
        )


class UnderWay(SteersmanError):
    """Somebody else works on the installation."""

    retryable = True

    def __init__(self, revision: Installation) -> None:
        spec, status = revision.spec, revision.status
        super().__init__(
            f"installation {spec.installation}: {status.holder} is working on its revision "
            f"{spec.revision}; wait for it. If that run was killed, try again in "
            f"{DEAD_AFTER:g} s: it is given up then"
        )


class Installations:
    """The revisions of every installation."""

    def __init__(
        self, store: Objects, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._clock = clock
        self._signing: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    async def all(self) -> list[Installation]:
        """Return every revision of everything, by name and number."""
        found = [parse_object(stored.object) for stored in await self._store.list(KIND)]
        mine = [each for each in found if isinstance(each, Installation)]
        return sorted(mine, key=lambda each: (each.spec.installation, each.spec.revision))

    async def history(self, name: str) -> list[Installation]:
        """Return the revisions of an installation, oldest first; there may be none."""
        return [each for each in await self.all() if each.spec.installation == name]

    async def newest(self) -> list[Installation]:
        """Return the newest revision of each installation."""
        return list({each.spec.installation: each for each in await self.all()}.values())

    async def settle(self, name: str) -> list[Installation]:
        """Return the revisions, with those of dead runs marked as failed.

        Raises UnderWay when a run is alive.
        """
        for revision in await self.history(name):
            if revision.status.state == "pending":
                if self._is_alive(revision):
                    raise UnderWay(revision)
                await self.mark(revision, "failed", "the run that made it was interrupted")
        return await self.history(name)

    @asynccontextmanager
    async def under_way(self, spec: InstallationSpec) -> AsyncIterator[Installation]:
        """Remember a new revision as pending, and give signs of life while the body runs; one
        that is interrupted has failed.

        Raises Conflict when somebody else has just made one of the same number.
        """
        name = release_name(spec.installation, spec.revision)
        made = Installation(metadata=ObjectMeta(name=name), spec=spec)
        await self._store.put(dump_object(made), 0)
        await self._sign(made)
        over = asyncio.Event()
        self._signing[name] = over, asyncio.create_task(self._keep_signing(made, over))
        try:
            yield made
        except BaseException as error:
            said = f"the run that made it was interrupted ({type(error).__name__})"
            await self.mark(made, "failed", said)
            raise
        finally:
            await self._end_signing(made)

    async def mark(
        self, revision: Installation, state: InstallationState, message: str = ""
    ) -> None:
        # A sign of life that came after this would say that it is still pending.
        await self._end_signing(revision)
        await self._put_status(revision, state, message)

    async def supersede(self, by: Installation) -> None:
        """Mark a revision as deployed, and the one before as superseded; forget the oldest."""
        history = await self.history(by.spec.installation)
        for each in history:
            if each.status.state == "deployed" and each.spec.revision != by.spec.revision:
                await self.mark(each, "superseded")
        await self.mark(by, "deployed")
        for each in history[:-KEPT]:
            await self._store.delete(KIND, each.name)

    async def give_up(self, name: str) -> None:
        """Mark the newest revision as uninstalled, and keep what it failed with, if it did."""
        history = await self.history(name)
        for each in history[:-1]:
            if each.status.state == "deployed":
                await self.mark(each, "superseded")
        await self.mark(history[-1], "uninstalled", history[-1].status.message)

    async def forget(self, name: str) -> None:
        for each in await self.history(name):
            await self._store.delete(KIND, each.name)

    def _is_alive(self, revision: Installation) -> bool:
        # One that was only just made had no time for a sign.
        signed = revision.status.updated or revision.metadata.creation_timestamp
        return signed is not None and self._clock() - signed < timedelta(seconds=DEAD_AFTER)

    async def _keep_signing(self, revision: Installation, over: asyncio.Event) -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SIGN_EVERY):
                    await over.wait()
                    return
            await self._sign(revision)

    async def _end_signing(self, revision: Installation) -> None:
        if revision.name in self._signing:
            over, signing = self._signing.pop(revision.name)
            over.set()
            # One that is under way may be on its way to a daemon, where it cannot be called back.
            await asyncio.gather(signing, return_exceptions=True)

    async def _sign(self, revision: Installation) -> None:
        await self._put_status(revision, "pending", "", f"{whoever()} (pid {os.getpid()})")

    async def _put_status(
        self, revision: Installation, state: InstallationState, message: str, holder: str = ""
    ) -> None:
        status = InstallationStatus(
            state=state, message=message, updated=self._clock(), holder=holder
        )
        data = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        await self._store.put_status(KIND, revision.name, data)


def last_good(history: Sequence[Installation], before: int | None = None) -> Installation | None:
    """Return the newest revision (below `before`) that was deployed once, if there is one."""
    good = [
        each
        for each in history
        if each.status.state in _GOOD and (before is None or each.spec.revision < before)
    ]
    return good[-1] if good else None


def one_before(history: Sequence[Installation]) -> Installation | None:
    """Return what a rollback goes back to, if there is something: the last good revision before,
    or the newest if it was good until it was uninstalled."""
    newest = history[-1]
    if newest.status.state == "uninstalled" and not newest.status.message:
        return newest
    return last_good(history, newest.spec.revision)


def is_installed(history: Sequence[Installation]) -> bool:
    """Whether anything of it is there: an uninstalled one that kept its history is not."""
    return bool(history) and history[-1].status.state != "uninstalled"


def revision_of(history: Sequence[Installation], name: str, number: int) -> Installation:
    """Return the revision of this number; raises NotInstalled."""
    found = next((each for each in history if each.spec.revision == number), None)
    if found is None:
        known = ", ".join(str(each.spec.revision) for each in history) or "none"
        raise NotInstalled(name, f"has no revision {number} (it has {known})")
    return found
