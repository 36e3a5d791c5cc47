"""Asking repositories where their refs are, each in its own time, and waking whom that concerns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from steersman.api.errors import SteersmanError
from steersman.api.repository import Repository
from steersman.builds.gitnames import COMMIT
from steersman.control.memory import Memory

INTERVAL = 60.0
JITTER = 0.1
"""By which share of itself an interval varies: a thousand apps must not ask at the same time."""
LONGEST = 3600.0
"""Seconds between two questions to a repository that does not answer."""
AT_ONCE = 8
# How soon a new object, or a changed interval, is noticed.
NOTICE = 5.0
SHORTEST = 0.05

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """Who depends on a ref; `known` is the commit that it was last brought from, if any."""

    key: str
    url: str
    ref: str
    interval: float
    credentials: str | None = None
    known: str | None = None


Place = tuple[str, str | None]
"""A URL, and the Secret that opens it."""
Stands = Callable[[str, str | None, Sequence[str]], Awaitable[Mapping[str, str | None]]]


@dataclass(slots=True)
class _Round:
    """What is known of one place; `due` is infinite while it is asked."""

    due: float
    failures: int = 0
    commits: dict[str, str | None] = field(default_factory=dict)


class Poller:
    """Polls until it is cancelled: one question for each URL, however many refs of it matter.

    `watched` says what to look at, `stands` asks a repository (see Repositories.stands), and
    `wake` hears the key of whatever has to be looked at because its ref is elsewhere now.
    """

    def __init__(
        self,
        watched: Callable[[], Awaitable[Sequence[Watched]]],
        stands: Stands,
        wake: Callable[[str], None],
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._watched = watched
        self._stands = stands
        self._wake = wake
        self._rng = rng if rng is not None else random.Random()  # noqa: S311 - spreads load only
        self._rounds: dict[Place, _Round] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Poll for ever. Each question runs by itself: one that hangs holds up no other."""
        async with asyncio.TaskGroup() as group:
            while True:
                places = _grouped(await self._watched())
                for place in self._due(places):
                    self._rounds[place].due = float("inf")
                    group.create_task(self._ask(place, places[place]))
                await asyncio.sleep(self._pause())

    def _due(self, places: Mapping[Place, Sequence[Watched]]) -> list[Place]:
        now = _now()
        for place in self._rounds.keys() - places.keys():
            if self._rounds[place].due != float("inf"):
                del self._rounds[place]
        for place, group in places.items():
            if place not in self._rounds:
                # The first question comes anywhere within the interval: a start is no stampede.
                wait = self._rng.random() * min(each.interval for each in group)
                self._rounds[place] = _Round(now + wait)
        return [place for place in places if self._rounds[place].due <= now]

    def _pause(self) -> float:
        soonest = min((each.due for each in self._rounds.values()), default=float("inf"))
        # A clock may wake us a little before what it was set to: never ask it for nothing.
        return max(SHORTEST, min(NOTICE, soonest - _now()))

    async def _ask(self, place: Place, group: Sequence[Watched]) -> None:
        url, credentials = place
        known = self._rounds[place]
        interval = min(each.interval for each in group)
        refs = list(dict.fromkeys(each.ref for each in group))
        try:
            async with self._room:
                commits = await self._stands(url, credentials, refs)
        except SteersmanError as error:
            known.failures += 1
            interval = min(interval * 2**known.failures, max(LONGEST, interval))
            log.warning("poll_failed", failures=known.failures, why=str(error))
        else:
            known.failures = 0
            for each in group:
                if commits[each.ref] != known.commits.get(each.ref, each.known):
                    log.info("ref_moved", key=each.key, ref=each.ref, commit=commits[each.ref])
                    self._wake(each.key)
            known.commits = dict(commits)
        vary = 1 + JITTER * (2 * self._rng.random() - 1)
        known.due = _now() + interval * vary


async def watched_in(memory: Memory, interval: float = INTERVAL) -> list[Watched]:
    """Return what of a memory depends on refs: apps every `interval`, repositories in their own.

    What names a commit depends on no ref, and what is suspended on nothing.
    """
    found = []
    for app in (await memory.apps()).values():
        git = app.spec.source.git
        if git is not None:
            found.append(Watched(app.key, git.url, git.ref, interval, known=app.status.commit))
    for stored in await memory.store.list("Repository"):
        repository = Repository.model_validate(stored.object)
        spec, status = repository.spec, repository.status
        if not repository.is_suspended:
            found.append(
                Watched(
                    *(repository.key, spec.url, spec.ref, spec.interval, spec.credentials),
                    status.seen_commit,
                )
            )
    return [each for each in found if not COMMIT.fullmatch(each.ref)]


def _grouped(watched: Sequence[Watched]) -> dict[Place, list[Watched]]:
    places: dict[Place, list[Watched]] = {}
    for each in watched:
        places.setdefault((each.url, each.credentials), []).append(each)
    return places


def _now() -> float:
    return asyncio.get_running_loop().time()
