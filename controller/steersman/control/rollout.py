"""One app, all its hosts: choose the release, roll it out in waves, or take it back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.api.release import Release
from steersman.control.admission import placed
from steersman.control.artifacts import Artifacts
from steersman.control.choose import Chooser, Secrets
from steersman.control.converge import Plan, Unhealthy, converge
from steersman.control.hosts import HostLink
from steersman.control.memory import Memory, is_pinned
from steersman.control.phase import part_by_contract, run_release_command
from steersman.control.release import last_good
from steersman.control.report import Verdict
from steersman.control.session import Session
from steersman.control.target import Wanted, app_gone, app_target
from steersman.planning.app import plan_absent, plan_app
from steersman.planning.seen import HostSeen
from steersman.planning.steps import Step


@dataclass(frozen=True, slots=True)
class HostOutcome:
    """How one app fared on one host."""

    host: str
    verdict: Verdict
    steps: tuple[Step, ...] = ()
    error: SteersmanError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one app fared. `error` is set when the app is not as its manifest says."""

    app: str
    release: Release | None = None
    hosts: tuple[HostOutcome, ...] = ()
    error: SteersmanError | None = None

    @property
    def is_good(self) -> bool:
        return self.error is None and all(h.error is None for h in self.hosts)


class Rejected(SteersmanError):
    """A release failed its gate or soak; it never took traffic, or gave it back."""

    def __init__(self, release: Release, why: str, previous: int | None, *, is_known: bool) -> None:
        spec = release.spec
        served = (
            f"release {previous} serves as before" if previous is not None else "nothing serves yet"
        )
        again = " before and is not tried again" if is_known else ""
        super().__init__(
            f"app {spec.app}: release {spec.number} was rejected{again}: {why}\n"
            f"  {served}; change the source or the manifest and apply again,"
            f" or see `steer describe app/{spec.app}`"
        )


class NowhereToRun(SteersmanError):
    """No host fits the app's placement."""

    def __init__(self, app: App) -> None:
        wanted = ", ".join(f"{key}={value}" for key, value in app.spec.placement.selector.items())
        wish = f" (it wants hosts labelled {wanted})" if wanted else ""
        super().__init__(
            f"app {app.name} is placed on no host{wish}; apply Hosts that fit its spec.placement,"
            " or uncordon one: `steer get hosts -o yaml` shows what there is"
        )


class Rollout:
    """Brings one app to what its object says, on every host it is placed on."""

    def __init__(
        self,
        session: Session,
        artifacts: Artifacts,
        *,
        is_dry: bool = False,
        pretended: Secrets | None = None,
    ) -> None:
        self._session = session
        self._memory: Memory = session.memory
        self._report = session.report
        self._is_dry = is_dry
        self._chooser = Chooser(session, artifacts, pretended or {}, is_dry=is_dry)

    async def run(self, app: App, hosts: Mapping[str, Host]) -> Outcome:
        """Converge `app`; errors of single hosts are in the outcome and stop no other host."""
        names = placed(app, hosts)
        former = [name for name in app.status.hosts if name in hosts and name not in names]
        links, errors = await self._session.connect_all([*names, *former], hosts)
        lost = self._lost(app, errors)
        placed_links = [links[name] for name in names if name in links]
        removed = await self._remove(app, [links[name] for name in former if name in links])
        if not placed_links:
            error = None if names else NowhereToRun(app)
            return Outcome(app.name, None, (*lost, *removed), error)
        try:
            release = await self._chooser.choose(app, placed_links)
            deployed = await self._deploy(app, release, placed_links)
        except SteersmanError as error:
            return Outcome(app.name, None, (*lost, *removed), error)
        return replace(deployed, hosts=(*lost, *removed, *deployed.hosts))

    async def _remove(self, app: App, links: Iterable[HostLink]) -> list[HostOutcome]:
        async def one(link: HostLink) -> HostOutcome:
            gone = app_gone(app, link.host.spec, link.facts)
            return await self._converge(
                link, app.name, lambda seen: plan_absent(gone, seen), "removed"
            )

        return list(await asyncio.gather(*(one(link) for link in links)))

    async def remove(self, app: App, hosts: Mapping[str, Host]) -> Outcome:
        """Leave no trace of `app` on any host."""
        names = {*placed(app, hosts), *app.status.hosts} & set(hosts)
        return await self.remove_from(app, hosts, sorted(names))

    async def remove_from(
        self, app: App, hosts: Mapping[str, Host], names: Sequence[str]
    ) -> Outcome:
        """Leave no trace of `app` on the named hosts."""
        links, errors = await self._session.connect_all(names, hosts)
        lost = self._lost(app, errors)
        return Outcome(app.name, None, (*lost, *await self._remove(app, links.values())))

    def _lost(self, app: App, errors: Mapping[str, SteersmanError]) -> list[HostOutcome]:
        for name, error in errors.items():
            self._report.host_ended(name, app.name, "unreachable", str(error))
        return [HostOutcome(name, "unreachable", error=error) for name, error in errors.items()]

    async def _deploy(self, app: App, release: Release, links: list[HostLink]) -> Outcome:
        releases = await self._memory.releases(app.name)
        previous = last_good(releases, release.spec.number)
        if release.status.state == "rejected":
            error = Rejected(release, release.status.message, _number(previous), is_known=True)
            hosts = await self._fall_back(app, previous, links)
            return Outcome(app.name, release, hosts, error)
        wanted = await self._chooser.wanted(app, release, releases, links)
        outcomes: list[HostOutcome] = []
        if release.status.state == "pending" and is_pinned(app) is None and not self._is_dry:
            try:
                await run_release_command(wanted, links, self._memory, self._report)
            except Unhealthy as error:
                bad_host = HostOutcome(error.host, "rejected", error=error)
                return await self._reject(app, release, previous, links, bad_host, [bad_host])
        for wave in waves(links):
            outcomes += await asyncio.gather(*(self._one(link, wanted[link.name]) for link in wave))
            bad = [o for o in outcomes if isinstance(o.error, Unhealthy)]
            if bad and not self._is_dry and app.status.release != release.spec.number:
                return await self._reject(app, release, previous, links, bad[0], outcomes)
        if not self._is_dry and any(outcome.error is None for outcome in outcomes):
            await self._accept(release, releases)
        return Outcome(app.name, release, tuple(outcomes))

    async def _reject(
        self,
        app: App,
        release: Release,
        previous: Release | None,
        links: list[HostLink],
        bad: HostOutcome,
        outcomes: list[HostOutcome],
    ) -> Outcome:
        fault = bad.error
        logs = fault.logs if isinstance(fault, Unhealthy) else ()
        why = str(fault)
        await self._memory.set_release_state(release, "rejected", why, tuple(logs))
        await self._memory.note("App", app.name, "ReleaseRejected", why, bad.host, type_="Warning")
        after = await self._fall_back(app, previous, links)
        error = Rejected(release, why, _number(previous), is_known=False)
        failed = {o.host: o for o in outcomes if o.error is not None}
        hosts = tuple(
            replace(outcome, verdict="rejected") if outcome.host in failed else outcome
            for outcome in after
        )
        return Outcome(app.name, release, hosts, error)

    async def _fall_back(
        self, app: App, previous: Release | None, links: list[HostLink]
    ) -> tuple[HostOutcome, ...]:
        """Bring every host back to the last good release, or to none if there never was one."""
        if previous is None:
            return tuple(await self._remove(app, links))
        releases = await self._memory.releases(app.name)
        links, staying = await part_by_contract(previous, releases, links)
        wanted = await self._chooser.wanted(app, previous, releases, links)
        back = await asyncio.gather(*(self._one(link, wanted[link.name]) for link in links))
        stayed = [HostOutcome(each.host, "rejected", error=each) for each in staying]
        return (*back, *stayed)

    async def _accept(self, release: Release, releases: list[Release]) -> None:
        if release.status.state != "deployed":
            await self._memory.set_release_state(release, "deployed")
            await self._memory.note(
                "App", release.spec.app, "Deployed", f"release {release.spec.number} serves"
            )
        for other in releases:
            if other.status.state == "deployed" and other.spec.number != release.spec.number:
                await self._memory.set_release_state(other, "superseded")

    async def _one(self, link: HostLink, wanted: Wanted) -> HostOutcome:
        def plan(seen: HostSeen) -> tuple[Step, ...]:
            if link.is_settled(wanted.app.name, wanted, seen):
                return ()
            steps = plan_app(app_target(wanted, link.host.spec, link.facts, seen), seen)
            if not steps:
                link.settle(wanted.app.name, wanted, seen)
            return steps

        return await self._converge(link, wanted.app.name, plan)

    async def _converge(
        self, link: HostLink, app: str, plan: Plan, done: Verdict = "converged"
    ) -> HostOutcome:
        try:
            if self._is_dry:
                steps = tuple(plan(await link.observe()))
            else:
                steps = (await converge(link, app, plan, self._report)).steps
        except SteersmanError as error:
            verdict: Verdict = "rejected" if isinstance(error, Unhealthy) else "failed"
            self._report.host_ended(link.name, app, verdict, str(error))
            return HostOutcome(link.name, verdict, error=error)
        verdict = done if steps or done == "removed" else "unchanged"
        self._report.host_ended(link.name, app, verdict, "")
        return HostOutcome(link.name, verdict, steps)


def waves(links: list[HostLink]) -> list[list[HostLink]]:
    """Return the hosts in the order they are changed: one proves the release for the rest."""
    return [wave for wave in (links[:1], links[1:]) if wave]


def _number(release: Release | None) -> int | None:
    return None if release is None else release.spec.number
