"""One release's way over its hosts: stage after stage, and where it ends before the last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from typing import Any

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.release import Release
from steersman.api.rollout import Rollout
from steersman.control.converge import Unhealthy
from steersman.control.hosts import HostLink
from steersman.control.judge import judge
from steersman.control.marks import is_pinned
from steersman.control.mover import Mover, verdict_of
from steersman.control.outcome import HostOutcome
from steersman.control.pauses import Pauses
from steersman.control.session import Session
from steersman.control.target import Wanted
from steersman.control.wishes import Wishes, is_paused, resumes
from steersman.planning.rollout import (
    Boot,
    HostView,
    Judge,
    Move,
    Stage,
    Standing,
    Stop,
    Wait,
    stages,
)
from steersman.planning.seen import HostSeen


@dataclass(slots=True)
class Walked:
    """How far a release came. A host in none of `outcomes` was not reached.

    `bad` is the host that failed the release, `faults` counts hosts that failed in any way;
    `halted` says where it waits for a person.
    """

    outcomes: dict[str, HostOutcome] = field(default_factory=dict)
    bad: HostOutcome | None = None
    faults: int = 0
    halted: str | None = None


@dataclass(frozen=True, slots=True)
class Trip:
    """What a walk is about: `links` by host, in the order of their names."""

    app: App
    release: Release
    links: Mapping[str, HostLink]
    wanted: Mapping[str, Wanted]


class Walk:
    """Takes one release over the hosts that answer.

    `once` is what must happen a single time before any host serves the release; it raises
    Unhealthy. `back` brings a single host back to the release before, and `holding` keeps hosts as
    that has them for as long as it is entered.
    """

    def __init__(
        self,
        session: Session,
        mover: Mover,
        trip: Trip,
        *,
        once: Callable[[], Awaitable[None]],
        back: Callable[[HostLink], Awaitable[HostOutcome]],
        holding: Callable[[Sequence[HostLink]], AbstractAsyncContextManager[None]],
    ) -> None:
        self._memory = session.memory
        self._report = session.report
        self._mover = mover
        self._trip = trip
        self._once = once
        self._back = back
        self._holding = holding
        self._wishes = Wishes(session.memory, trip.app, trip.release)
        self._seen: dict[str, HostSeen] = {}
        self._ahead: dict[str, asyncio.Task[HostOutcome]] = {}
        self._walked = Walked()
        self._is_open = False

    async def run(self) -> Walked:
        """Walk until the end, a failure or a pause; a walk that is cancelled leaves whole steps."""
        await asyncio.gather(*(self._look(link) for link in self._trip.links.values()))
        views = [HostView(name, self._standing(name)) for name in self._seen]
        todo = stages(self._strategy(), views, has_stops=self._has_stops())
        moving = frozenset(view.name for view in views if view.standing != "new")
        try:
            for at, stage in enumerate(todo):
                if moving and await self._is_held():
                    break
                self._look_ahead(todo[at:], moving)
                await self._take(stage)
                if self._is_over:
                    break
        except asyncio.CancelledError:
            for ahead in self._ahead.values():
                ahead.cancel()
            raise
        finally:
            # What is being made on a host must be whole, or be seen, before anything undoes it.
            await asyncio.gather(*self._ahead.values(), return_exceptions=True)
        return self._walked

    @property
    def _is_over(self) -> bool:
        walked = self._walked
        too_many = walked.faults > self._trip.app.spec.rollout.max_failures
        return too_many or walked.bad is not None or walked.halted is not None

    async def _look(self, link: HostLink) -> None:
        try:
            self._seen[link.name] = await link.observe()
        except SteersmanError as error:
            await self._note(self._failed(link.name, error))

    def _standing(self, name: str) -> Standing:
        current = self._seen[name].app(self._trip.app.name).current
        if current is None:
            return "none"
        is_there = current == f"releases/{self._trip.wanted[name].release_name}"
        return "new" if is_there else "old"

    def _strategy(self) -> Rollout:
        """Return the app's rollout; the way back is in a hurry, and was a canary once."""
        rollout, is_back = self._trip.app.spec.rollout, is_pinned(self._trip.app) is not None
        if is_back and rollout.strategy == "Canary":
            return rollout.model_copy(update={"strategy": "RollingUpdate"})
        return rollout

    def _has_stops(self) -> bool:
        processes = self._trip.release.spec.template.processes.values()
        return any(process.handover == "stop" for process in processes)

    async def _is_held(self) -> bool:
        app = await self._wishes.now()
        is_held = app is not None and is_paused(app)
        if is_held:
            self._walked.halted = resumes(self._trip.app.name)
        return is_held

    async def _take(self, stage: Stage) -> None:
        if isinstance(stage, Wait):
            await self._wait(stage)
        elif isinstance(stage, Judge):
            await self._judge(stage)
        elif isinstance(stage, Stop):
            # Nothing is down for longer than it takes to start what lies ready everywhere.
            await self._on_the_way(stage.hosts, self._mover.prepare)
            await self._on_the_way(stage.hosts, self._mover.stop)
        elif isinstance(stage, Boot):
            await self._open()
            await self._on_the_way(stage.hosts, self._mover.boot)
        else:
            await self._open()
            await self._move(stage)

    async def _open(self) -> None:
        """Do what comes before any host serves the release."""
        if not self._is_open:
            self._is_open = True
            await self._once()
            self._seen.clear()

    async def _on_the_way(
        self,
        hosts: Sequence[str],
        action: Callable[[HostLink, Wanted], Coroutine[Any, Any, HostOutcome]],
    ) -> None:
        """Bring hosts a part of the way: only those that fail have an outcome."""
        pairs = [(self._trip.links[name], self._trip.wanted[name]) for name in self._well(hosts)]
        for outcome in await _all(action(link, to) for link, to in pairs):
            if outcome.error is not None:
                await self._note(self._failed(outcome.host, outcome.error))

    async def _move(self, stage: Move) -> None:
        outcomes = await _all(self._one(name) for name in self._well(stage.hosts))
        # What was seen at the start is too old for the next hosts.
        self._seen.clear()
        for outcome in outcomes:
            await self._note(outcome)

    async def _one(self, name: str) -> HostOutcome:
        ahead = self._ahead.pop(name, None)
        if ahead is not None:
            await ahead
        link, seen = self._trip.links[name], self._seen.get(name)
        still = seen if seen is not None and link.is_as_seen(seen) else None
        return await self._mover.move(link, self._trip.wanted[name], still)

    def _look_ahead(self, todo: Sequence[Stage], moving: frozenset[str]) -> None:
        """Let hosts whose turn comes later receive the release while others prove it."""
        if self._ahead or not isinstance(todo[0], Move):
            return
        soon = takewhile(lambda stage: not isinstance(stage, Wait), todo[1:])
        names = [name for stage in soon if isinstance(stage, Move) for name in stage.hosts]
        for name in names:
            if name in moving and name not in self._walked.outcomes:
                self._ahead[name] = asyncio.create_task(self._prepare(name, todo[0].hosts[0]))

    async def _prepare(self, name: str, first: str) -> HostOutcome:
        # Two controllers meet at the same first host, and do not hold each other's next ones.
        with suppress(SteersmanError):
            await self._trip.links[first].claim(self._trip.app.name)
        return await self._mover.prepare(self._trip.links[name], self._trip.wanted[name])

    async def _wait(self, stage: Wait) -> None:
        pauses = Pauses(self._memory, self._report, self._wishes, self._trip.release)
        async with self._holding(self._untouched(stage)):
            self._walked.halted = await pauses.wait(stage, partial(self._judge, stage.judge))
        if self._walked.halted is None:
            await self._judge(stage.judge)

    def _untouched(self, stage: Wait) -> list[HostLink]:
        """Return the hosts that a canary has not come to: a blue-green one has booted on all.

        A pause without a time ends this walk, and its end looks after them.
        """
        if stage.seconds is None or self._strategy().strategy != "Canary":
            return []
        return [self._trip.links[name] for name in self._well(self._trip.links)]

    async def _judge(self, stage: Judge | None) -> bool:
        """Return whether the release does well so far; what does not is its end."""
        if stage is None:
            return True
        trip = self._trip
        fault = await judge(trip.app, trip.release.spec.number, stage, trip.links)
        if fault is not None:
            self._walked.bad = self._failed(fault.host, fault)
        return fault is None

    def _well(self, hosts: Iterable[str]) -> list[str]:
        return [name for name in hosts if name not in self._walked.outcomes]

    async def _note(self, outcome: HostOutcome) -> None:
        """Record a host's end, and what it means for the release."""
        walked, rollout = self._walked, self._trip.app.spec.rollout
        walked.outcomes[outcome.host] = outcome
        if outcome.error is None or outcome.verdict == "unreachable":
            return
        walked.faults += 1
        if not isinstance(outcome.error, Unhealthy) or self._is_accepted:
            return
        if walked.faults > rollout.max_failures:
            walked.bad = outcome
            return
        await self._back(self._trip.links[outcome.host])
        walked.outcomes[outcome.host] = replace(outcome, verdict="rejected")

    @property
    def _is_accepted(self) -> bool:
        """Whether the release has served everywhere before: then only a host can be at fault."""
        return self._trip.app.status.release == self._trip.release.spec.number

    def _failed(self, host: str, error: SteersmanError) -> HostOutcome:
        verdict = verdict_of(error)
        self._report.host_ended(host, self._trip.app.name, verdict, str(error))
        return HostOutcome(host, verdict, error=error)


async def _all(ways: Iterable[Coroutine[Any, Any, HostOutcome]]) -> list[HostOutcome]:
    """Return every host's outcome; what is no host's fault is raised once all have ended."""
    ended = await asyncio.gather(*ways, return_exceptions=True)
    for each in ended:
        if isinstance(each, BaseException):
            raise each
    return [each for each in ended if not isinstance(each, BaseException)]
