"""Forgetting objects, with all that they left on hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.control.cordon import Cordons
from steersman.control.jobs import Jobs
from steersman.control.memory import Memory, NotFound
from steersman.control.outcome import Outcome
from steersman.control.plugins import plugins_using
from steersman.control.session import Session
from steersman.store.errors import Conflict, UidConflict
from steersman.store.protocol import Stored

Cascade = Literal["background", "orphan"]

Remove = Callable[[App], Awaitable[Outcome]]
"""Removes an app from all its hosts."""


class StillUsed(SteersmanError):
    """An object that others need is not removed."""


@dataclass(frozen=True, slots=True)
class Meant:
    """Which object is to go: whichever has the name, or the one of a uid, or at a version."""

    uid: str | None = None
    version: int | None = None


WHICHEVER = Meant()


class Deleting:
    """Removes objects. What goes is what was meant, whatever others do at the same time.

    What leaves nothing on hosts is compared and removed in one step of the store. Others are
    compared as it begins, again before the first change that follows from it, and forgotten at the
    end if they are still the same: where a version was meant, what somebody has asked for since
    stays known, and is brought to its hosts again.
    """

    def __init__(
        self,
        session: Session,
        jobs: Jobs,
        cordons: Cordons,
        held: Callable[[str], AbstractAsyncContextManager[None]],
        remove: Remove,
    ) -> None:
        self._session = session
        self._memory: Memory = session.memory
        self._jobs = jobs
        self._cordons = cordons
        self._held = held
        self._remove = remove

    async def delete(
        self, kind: str, name: str, cascade: Cascade, meant: Meant = WHICHEVER
    ) -> list[Outcome]:
        """Remove an object and all it left on hosts; raises, or returns how apps left there.

        Raises NotFound, and Conflict or UidConflict when it is another than was meant.
        """
        match kind:
            case "App":
                return [await self._app(name, cascade, meant)]
            case "Host":
                return await self._host(name, cascade, meant)
            case "Job":
                await self._job(name, cascade, meant)
            case "Secret":
                await self._refuse_used(name)
                await self._at_once(kind, name, meant)
            case _:
                await self._at_once(kind, name, meant)
        return []

    async def _app(self, name: str, cascade: Cascade, meant: Meant) -> Outcome:
        """Remove an app from its hosts and from memory; `orphan` leaves the hosts as they are."""
        await self._memory.app(name)
        outcome = Outcome(name)
        async with self._held(name):
            begun = await self._begun("App", name, meant)
            if cascade != "orphan":
                outcome = await self._remove(await self._memory.app(name))
                if not outcome.is_good:
                    return outcome
            await self._still(begun, meant)
            # Before the app: a crash in between must leave nothing that belongs to no app.
            for job in await self._memory.jobs(name):
                await self._memory.store.delete("Job", job.name)
                self._session.report.object_changed(f"job/{job.name}", "deleted")
            for release in await self._memory.releases(name):
                await self._memory.store.delete("Release", release.name)
            await self._forget(begun, meant)
            await self._memory.note("App", name, "Deleted", f"app {name} was deleted")
        self._session.report.object_changed(f"app/{name}", "deleted")
        return outcome

    async def _host(self, name: str, cascade: Cascade, meant: Meant) -> list[Outcome]:
        """Forget a host, after every app has left it; `orphan` leaves it as it is.

        Either way the other hosts take over its replicas.
        """
        begun = await self._begun("Host", name, meant)

        async def forget(host: Host) -> None:
            await self._forget(begun, meant)
            self._session.report.object_changed(f"host/{host.name}", "deleted")

        async def still() -> int | None:
            return await self._still(begun, meant)

        is_orphan = cascade == "orphan"
        return await self._cordons.give_up(name, is_orphan=is_orphan, still=still, forget=forget)

    async def _job(self, name: str, cascade: Cascade, meant: Meant) -> None:
        begun = await self._begun("Job", name, meant)
        errors = {}
        if cascade != "orphan":
            job = await self._memory.job(name)
            # Others may have had the app for long.
            errors = await self._jobs.remove(job, lambda: self._still(begun, meant))
        if errors:
            raise ExceptionGroup("not deleted", list(errors.values()))
        await self._forget(begun, meant)
        self._session.report.object_changed(f"job/{name}", "deleted")

    async def _refuse_used(self, name: str) -> None:
        apps = (await self._memory.apps()).values()
        users = [app.name for app in apps if name in app.spec.config.secrets]
        users += [f"plugin {each}" for each in await plugins_using(self._memory, name)]
        if users:
            raise StillUsed(
                f"secret {name} is used by {', '.join(users)};"
                " take it out of their spec.config.secrets (a plugin's spec.config) first"
            )

    async def _at_once(self, kind: str, name: str, meant: Meant) -> None:
        """Remove what is in memory only."""
        store = self._memory.store
        if await store.delete(kind, name, meant.version, uid=meant.uid) is None:
            raise NotFound(kind, name)
        self._session.report.object_changed(f"{kind.lower()}/{name}", "deleted")

    async def _begun(self, kind: str, name: str, meant: Meant) -> Stored:
        """Return the object that is going; raises NotFound, Conflict or UidConflict."""
        store = self._memory.store
        found = await store.delete(kind, name, meant.version, uid=meant.uid, dry_run=True)
        if found is None:
            raise NotFound(kind, name)
        return found

    async def _forget(self, begun: Stored, meant: Meant) -> None:
        """Remove from memory what is gone from hosts; raises UidConflict if it is not that."""
        while True:
            version = await self._still(begun, meant)
            try:
                await self._memory.store.delete(begun.kind, begun.name, version, uid=begun.uid)
            except Conflict:
                # Its status may change at any time, and means nothing.
                continue
            return

    async def _still(self, begun: Stored, meant: Meant) -> int | None:
        """Return the version of what is going.

        Raises Conflict if others want it otherwise, and UidConflict if it is another by now.
        """
        now = await self._memory.store.get(begun.kind, begun.name)
        if now is None:
            return None
        if now.uid != begun.uid:
            raise UidConflict(begun.kind, begun.name, begun.uid, now.uid)
        if meant.version is not None and now.generation != begun.generation:
            raise Conflict(begun.kind, begun.name, meant.version, now.resource_version)
        return now.resource_version
