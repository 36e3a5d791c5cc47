"""Holds a rollout to a plan that was made before: hosts that moved since are left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.release import ReleaseSpec
from steersman.api.source import Source
from steersman.builds import Resolved
from steersman.control.artifacts import builder_source
from steersman.control.hosts import HostLink
from steersman.control.mover import Mover
from steersman.control.report import Silent
from steersman.control.target import Wanted
from steersman.planning.plans import PlannedApp, seen_digest, steps_digest
from steersman.planning.seen import HostSeen

AGAIN = "make a new plan with `steer diff --save`, look at it, and apply that"


class PlanOutdated(SteersmanError):
    """What a plan was made of is not what there is now; nothing of it was done."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why} since the plan was made; {AGAIN}")


class HostMoved(SteersmanError):
    """A host is not as it was when a plan was made; nothing on it was changed."""

    def __init__(self, host: str, app: str, why: str) -> None:
        super().__init__(
            f"host {host}: {why} since the plan was made, so nothing of app {app} was changed"
            f" there; {AGAIN}"
        )


class Binding:
    """One app's part of a plan. `key` is the store's, `barred` the hosts whose objects changed."""

    def __init__(
        self,
        app: str,
        planned: PlannedApp,
        key: bytes,
        barred: Mapping[str, SteersmanError],
    ) -> None:
        self._app = app
        self._planned = planned
        self._key = key
        self._barred = barred

    def resolved(self, source: Source) -> Resolved:
        """Return what the source came to when the plan was made."""
        if self._planned.release is None:
            raise PlanOutdated(f"app {self._app}", "it came to have a host")
        was = self._planned.release.source
        return Resolved(was.kind, builder_source(source), was.commit, was.content, was.subject)

    def check_release(self, spec: ReleaseSpec) -> None:
        """Raise PlanOutdated unless this is the release that was planned."""
        planned = self._planned.release
        if planned is None or planned.digest != spec.digest:
            raise PlanOutdated(f"app {self._app}", "what its release is made of has changed")
        if planned.number != spec.number:
            raise PlanOutdated(
                f"app {self._app}", f"release {planned.number} was made of something else"
            )

    async def moved(self, app: App, links: Iterable[HostLink]) -> dict[str, SteersmanError]:
        """Take the hosts that are to change; return why those are left alone that moved."""
        links = list(links)
        faults = await asyncio.gather(*(self._fault(app, link) for link in links))
        return {link.name: why for link, why in zip(links, faults, strict=True) if why is not None}

    async def _fault(self, app: App, link: HostLink) -> SteersmanError | None:
        if link.name in self._barred:
            return self._barred[link.name]
        planned = self._planned.hosts.get(link.name)
        if planned is None:
            return HostMoved(link.name, self._app, "it came to be a host of the app")
        try:
            is_still = self._is_still(app, link, await link.observe())
            if is_still and planned.lines:
                # Whoever had the host until now may have changed what was just seen.
                await link.claim(self._app)
                is_still = self._is_still(app, link, await link.observe())
        except SteersmanError as error:
            return error
        return None if is_still else HostMoved(link.name, self._app, "it has changed")

    def _is_still(self, app: App, link: HostLink, seen: HostSeen) -> bool:
        found = seen_digest(self._key, self._app, app.user, seen)
        return found == self._planned.hosts[link.name].seen

    async def differing(
        self, links: Sequence[HostLink], wanted: Mapping[str, Wanted]
    ) -> dict[str, SteersmanError]:
        """Return why hosts are left alone whose steps would be others now."""
        dry = Mover(Silent(), is_dry=True)
        outcomes = await asyncio.gather(*(dry.move(link, wanted[link.name]) for link in links))
        found: dict[str, SteersmanError] = {}
        for outcome in outcomes:
            if outcome.error is not None:
                found[outcome.host] = outcome.error
            elif steps_digest(self._key, outcome.steps) != self._planned.hosts[outcome.host].steps:
                why = "what would be done there has changed"
                found[outcome.host] = HostMoved(outcome.host, self._app, why)
        return found
