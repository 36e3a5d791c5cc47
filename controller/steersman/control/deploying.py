"""One app, one release of it: walk it over the hosts, accept it or take it back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial

from steersman.api.app import App
from steersman.api.release import Release
from steersman.control.choice import Choice
from steersman.control.choose import Chooser
from steersman.control.converge import Unhealthy
from steersman.control.cutover import CutOvers
from steersman.control.holding import Holding, boots_into
from steersman.control.hosts import HostLink
from steersman.control.marks import is_pinned
from steersman.control.memory import Memory
from steersman.control.mover import Mover, OtherController
from steersman.control.outcome import HostOutcome, Outcome, Overtaken, Rejected, Stopped
from steersman.control.phase import part_by_contract, run_release_command
from steersman.control.release import ABORTED
from steersman.control.session import Session
from steersman.control.target import Wanted
from steersman.control.walk import Trip, Walk, Walked
from steersman.control.wishes import Wishes, is_aborted


class Deploying:
    """Brings the hosts of a choice to its release, or back to the last good one."""

    def __init__(self, session: Session, chooser: Chooser, *, is_dry: bool) -> None:
        self._session = session
        self._memory: Memory = session.memory
        self._report = session.report
        self._is_dry = is_dry
        self._chooser = chooser
        self._mover = Mover(session.report, is_dry=is_dry)
        self._cut_overs = CutOvers(session.memory, session.report)

    async def deploy(self, choice: Choice) -> Outcome:
        """Return how each host fared; what went wrong is in the outcome, with what was undone."""
        state, message = choice.release.status.state, choice.release.status.message
        if state == "rejected":
            return await self._give_up(choice, message, is_known=True)
        if is_aborted(choice.app, choice.release.spec.number) and not self._is_dry:
            return await self._abort(choice)
        wanted = await self.wanted(choice, choice.release)
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
            walked = await self._walk(choice, await self.wanted(choice, again))
        return await self._end(choice, walked)

    async def remove(self, app: App, links: Iterable[HostLink]) -> list[HostOutcome]:
        """Leave no trace of an app on hosts."""
        return list(await asyncio.gather(*(self._mover.remove(link, app) for link in links)))

    async def wanted(self, choice: Choice, release: Release) -> dict[str, Wanted]:
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
        before = partial(self.wanted, choice, previous)
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
        wanted = await self.wanted(choice, choice.release)
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
            return tuple(await self.remove(app, links))
        # What is remembered now: the release command may have run since the choice was made.
        releases = await self._memory.releases(app.name)
        back, staying = await part_by_contract(previous, releases, links)
        wanted = await self.wanted(choice, previous)
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
