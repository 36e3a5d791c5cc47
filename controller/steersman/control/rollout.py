"""One app, all its hosts: choose the release, walk it over them, or take it back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.api.release import Release
from steersman.control.admission import placed
from steersman.control.artifacts import Artifacts
from steersman.control.binding import Binding, HostMoved
from steersman.control.choice import Choice
from steersman.control.choose import Aim, Chooser
from steersman.control.converge import Unhealthy
from steersman.control.cutover import CutOvers
from steersman.control.fixed import Secrets
from steersman.control.holding import Holding, boots_into
from steersman.control.hosts import HostLink
from steersman.control.marks import is_pinned
from steersman.control.memory import Memory
from steersman.control.mover import Mover, OtherController
from steersman.control.outcome import (
    HostOutcome,
    NowhereToRun,
    Outcome,
    Overtaken,
    Rejected,
    Stopped,
)
from steersman.control.phase import part_by_contract, run_release_command
from steersman.control.release import ABORTED, relayed
from steersman.control.report import Verdict
from steersman.control.session import Session
from steersman.control.target import Wanted
from steersman.control.walk import Trip, Walk, Walked
from steersman.control.wishes import Wishes, is_aborted
from steersman.planning.placement import Places, Shares, gaining, held_by, place, while_moving


class Rollout:
    """Brings one app to what its object says, on every host it is placed on."""

    def __init__(
        self,
        session: Session,
        artifacts: Artifacts,
        *,
        is_dry: bool = False,
        pretended: Secrets | None = None,
        binding: Binding | None = None,
    ) -> None:
        self._session = session
        self._memory: Memory = session.memory
        self._report = session.report
        self._is_dry = is_dry
        self._mover = Mover(session.report, is_dry=is_dry)
        self._binding = binding
        self._cut_overs = CutOvers(session.memory, session.report)
        self._chooser = Chooser(session, artifacts, pretended or {}, is_dry=is_dry, binding=binding)

    async def run(self, app: App, hosts: Mapping[str, Host], aim: Aim = "newest") -> Outcome:
        """Converge `app`; errors of single hosts are in the outcome and stop no other host.

        Hosts that gain something of the app come first: only when those serve does a host that
        has to give something up do so. An app that fits nowhere is left where it is.
        """
        places = place(app, hosts)
        former = [n for n in app.status.hosts if n in hosts and n not in places.hosts]
        links, errors = await self._session.connect_all([*places.hosts, *former], hosts)
        if self._binding is not None:
            errors |= await self._binding.moved(app, links.values())
            links = {name: link for name, link in links.items() if name not in errors}
        lost = self._lost(app, errors)
        placed_links = [links[name] for name in places.hosts if name in links]
        if not placed_links:
            error = None if places.hosts else NowhereToRun(app)
            return Outcome(app.name, None, tuple(lost), error)
        try:
            choice = await self._choice(app, placed_links, places.shares, aim)
            choice, differing = await self._bound(choice)
            errors |= differing
            lost += self._lost(app, differing)
            if not choice.links:
                return Outcome(app.name, choice.release, tuple(lost))
            deployed = await self._spread(choice, places)
        except SteersmanError as error:
            return Outcome(app.name, None, tuple(lost), error)
        removed: list[HostOutcome] = []
        if deployed.is_there and not errors.keys() & gaining(app, places):
            removed = await self._remove(app, [links[name] for name in former if name in links])
        return replace(deployed, hosts=(*lost, *removed, *deployed.hosts))

    async def _bound(self, choice: Choice) -> tuple[Choice, dict[str, SteersmanError]]:
        """Return the choice without the hosts where it is not what was planned, and why not."""
        if self._binding is None:
            return choice, {}
        wanted = await self._wanted(choice, choice.release)
        differing = await self._binding.differing(choice.links, wanted)
        there = [link for link in choice.links if link.name not in differing]
        return replace(choice, links=there), differing

    async def _spread(self, choice: Choice, places: Places) -> Outcome:
        """Deploy with nobody running less than before; once all is there, with what is wanted."""
        app = choice.app
        moving = while_moving(places, held_by(app), relayed(app))
        if self._is_dry or moving == places:
            return replace(await self._deploy(choice), shares=places.shares)
        first = await self._deploy(replace(choice, shares=moving.shares))
        absent = set(places.hosts) - {link.name for link in choice.links}
        if not first.is_there or absent & gaining(app, places):
            return replace(first, shares=moving.shares)
        # It says by now how it went, and which number it got.
        releases = await self._memory.releases(app.name)
        number = (first.release or choice.release).spec.number
        release = next(r for r in releases if r.spec.number == number)
        again = replace(choice, release=release, releases=releases)
        return replace(first.then(await self._deploy(again)), shares=places.shares)

    async def newer(self, app: App, hosts: Mapping[str, Host]) -> str | None:
        """Return the digest that `app` asks for now, if that is not its newest release's."""
        return await self._chooser.newer(app, place(app, hosts).shares)

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

    async def _remove(self, app: App, links: Iterable[HostLink]) -> list[HostOutcome]:
        return list(await asyncio.gather(*(self._mover.remove(link, app) for link in links)))

    def _lost(self, app: App, errors: Mapping[str, SteersmanError]) -> list[HostOutcome]:
        lost = []
        for name, error in errors.items():
            verdict: Verdict = "failed" if isinstance(error, HostMoved) else "unreachable"
            self._report.host_ended(name, app.name, verdict, str(error))
            lost.append(HostOutcome(name, verdict, error=error))
        return lost

    async def _choice(self, app: App, links: list[HostLink], shares: Shares, aim: Aim) -> Choice:
        release = await self._chooser.choose(app, links, shares, aim)
        releases = await self._memory.releases(app.name)
        return Choice(app, release, releases, links, shares)

    async def _deploy(self, choice: Choice) -> Outcome:
        state, message = choice.release.status.state, choice.release.status.message
        if state == "rejected":
            return await self._give_up(choice, message, is_known=True)
        if is_aborted(choice.app, choice.release.spec.number) and not self._is_dry:
            return await self._abort(choice)
        wanted = await self._wanted(choice, choice.release)
        if self._is_dry:
            moves = (self._mover.move(link, wanted[link.name]) for link in choice.links)
            return Outcome(choice.app.name, choice.release, tuple(await asyncio.gather(*moves)))
        try:
            walked = await self._walk(choice, wanted)
        except OtherController:
            # It was numbered before the hosts were ours: once is enough, now they are.
            again = await self._chooser.renumbered(choice.app, choice.release, list(choice.links))
            releases = await self._memory.releases(choice.app.name)
            choice = replace(choice, release=again, releases=releases)
            walked = await self._walk(choice, await self._wanted(choice, again))
        return await self._end(choice, walked)

    async def _wanted(self, choice: Choice, release: Release) -> dict[str, Wanted]:
        releases, links = list(choice.releases), list(choice.links)
        return await self._chooser.wanted(choice.app, release, releases, links, choice.shares)

    async def _walk(self, choice: Choice, wanted: Mapping[str, Wanted]) -> Walked:
        """Walk until its end, or until somebody asks for something else."""
        app, links = choice.app, {link.name: link for link in choice.links}

        async def once() -> None:
            if choice.release.status.state == "pending" and is_pinned(app) is None:
                await run_release_command(wanted, choice.links, self._memory, self._report)

        walk = Walk(
            self._session,
            self._mover,
            Trip(app, choice.release, links, wanted),
            once=once,
            back=partial(self._bring_back, choice),
            holding=partial(self._holding, choice),
        )
        walking = asyncio.create_task(walk.run())
        overtaken = asyncio.create_task(Wishes(self._memory, app, choice.release).overtaken())
        try:
            await asyncio.wait({walking, overtaken}, return_when=asyncio.FIRST_COMPLETED)
            if not walking.done():
                raise Overtaken(choice.release)
            return walking.result()
        except Unhealthy as error:
            return Walked(bad=HostOutcome(error.host, "rejected", error=error))
        finally:
            for task in (walking, overtaken):
                task.cancel()
            await asyncio.gather(walking, overtaken, return_exceptions=True)

    def _holding(
        self, choice: Choice, links: Sequence[HostLink]
    ) -> AbstractAsyncContextManager[None]:
        """Keep hosts with the last good release as they should be meanwhile."""
        previous = choice.previous
        if previous is None:
            return nullcontext()
        before = partial(self._wanted, choice, previous)
        return Holding(self._memory, self._mover, choice.app, before).during(links)

    async def _end(self, choice: Choice, walked: Walked) -> Outcome:
        app, release = choice.app, choice.release
        hosts = tuple(walked.outcomes.values())
        await self._cut_overs.tell(app, release, choice.links, hosts)
        if walked.bad is not None:
            return await self._reject(choice, walked.bad, hosts)
        left = [link for link in choice.links if link.name not in walked.outcomes]
        if left:
            # Their turn has not come: what they run until then is kept as it should be.
            stayed = await self._to_previous(choice, left)
            error = None if walked.halted else Stopped(release, walked.faults, len(left))
            waiting = frozenset(link.name for link in left)
            return Outcome(app.name, release, (*hosts, *stayed), error, walked.halted, waiting)
        if any(outcome.error is None for outcome in hosts):
            await self._accept(release, choice.releases)
        return Outcome(app.name, release, hosts)

    async def _reject(
        self, choice: Choice, bad: HostOutcome, outcomes: Sequence[HostOutcome]
    ) -> Outcome:
        fault, name = bad.error, choice.app.name
        logs = fault.logs if isinstance(fault, Unhealthy) else ()
        why = str(fault)
        await self._memory.set_release_state(choice.release, "rejected", why, tuple(logs))
        await self._memory.note("App", name, "ReleaseRejected", why, bad.host, type_="Warning")
        failed = {o.host for o in (*outcomes, bad) if o.error is not None}
        ended = await self._give_up(choice, why, is_known=False)
        hosts = tuple(
            replace(outcome, verdict="rejected") if outcome.host in failed else outcome
            for outcome in ended.hosts
        )
        return replace(ended, hosts=hosts)

    async def _abort(self, choice: Choice) -> Outcome:
        who = choice.app.metadata.annotations[ABORTED].partition(" ")[2]
        why = f"aborted by {who}"
        await self._memory.set_release_state(choice.release, "rejected", why)
        await self._memory.note("App", choice.app.name, "RolloutAborted", why)
        return await self._give_up(choice, why, is_known=False)

    async def _give_up(self, choice: Choice, why: str, *, is_known: bool) -> Outcome:
        """Bring the hosts back, and say which release is not what runs."""
        aborted = is_aborted(choice.app, choice.release.spec.number)
        error = Rejected(choice.release, why, choice.served, is_known=is_known, is_aborted=aborted)
        hosts = await self._fall_back(choice)
        await self._cut_overs.tell(choice.app, choice.previous, choice.links, hosts)
        return Outcome(choice.app.name, choice.release, hosts, error)

    async def _fall_back(self, choice: Choice) -> tuple[HostOutcome, ...]:
        """Bring every host back to the last good release, or to none if there never was one.

        Without autoRollback, hosts that took the release over stay with it.
        """
        if choice.app.spec.rollout.auto_rollback:
            return await self._to_previous(choice, choice.links)
        wanted = await self._wanted(choice, choice.release)
        there = [
            link for link in choice.links if boots_into(await link.observe(), wanted[link.name])
        ]
        kept = asyncio.gather(*(self._mover.move(link, wanted[link.name]) for link in there))
        back = self._to_previous(choice, [link for link in choice.links if link not in there])
        return (*await kept, *await back)

    async def _to_previous(
        self, choice: Choice, links: Sequence[HostLink]
    ) -> tuple[HostOutcome, ...]:
        """Bring hosts back to the last good release, but for those that a contract keeps."""
        app, previous = choice.app, choice.previous
        if previous is None:
            return tuple(await self._remove(app, links))
        # What is remembered now: the release command may have run since the choice was made.
        releases = await self._memory.releases(app.name)
        back, staying = await part_by_contract(previous, releases, links)
        wanted = await self._wanted(choice, previous)
        moved = await asyncio.gather(*(self._mover.move(each, wanted[each.name]) for each in back))
        return (*moved, *(HostOutcome(each.host, "rejected", error=each) for each in staying))

    async def _bring_back(self, choice: Choice, link: HostLink) -> HostOutcome:
        return (await self._to_previous(choice, [link]))[0]

    async def _accept(self, release: Release, releases: Sequence[Release]) -> None:
        if release.status.state != "deployed":
            await self._memory.set_release_state(release, "deployed")
            await self._memory.note(
                "App", release.spec.app, "Deployed", f"release {release.spec.number} serves"
            )
        for other in releases:
            if other.spec.number == release.spec.number:
                continue
            if other.status.state == "deployed":
                await self._memory.set_release_state(other, "superseded")
            elif other.status.state == "pending":
                why = f"release {release.spec.number} took its place"
                await self._memory.set_release_state(other, "cancelled", why)
