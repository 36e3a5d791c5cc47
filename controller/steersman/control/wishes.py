"""What people ask of a rollout in progress, kept as annotations of its app."""

from __future__ import annotations

import asyncio
from datetime import datetime

from steersman.api.app import App
from steersman.api.release import Release
from steersman.control.memory import Memory, NotFound
from steersman.control.release import ABORTED, OVERTAKEN, PAUSED, PAUSING, PROMOTED

POLL = 0.3

# They steer the rollout that is under way; any other change asks for another one.
STEERING = frozenset({PAUSED, PAUSING, PROMOTED, OVERTAKEN})


def is_paused(app: App) -> bool:
    """Whether the manifest or `rollout pause` holds this app's rollouts."""
    return app.spec.rollout.paused or PAUSED in app.metadata.annotations


def resumes(app: str) -> str:
    """Return what a rollout that `is_paused` says of itself."""
    return f"paused; `steer rollout resume app/{app}` goes on"


def passed_pauses(app: App, number: int) -> int:
    """Return how many pauses of release `number` are over."""
    release, _, count = app.metadata.annotations.get(PROMOTED, "").partition(":")
    return int(count) if release == str(number) and count.isdigit() else 0


def pause_ends(app: App, number: int, pause: int) -> datetime | None:
    """Return when the `pause`-th pause of release `number` ends, if it has begun."""
    which, _, at = app.metadata.annotations.get(PAUSING, "").partition(" ")
    if which != f"{number}:{pause}":
        return None
    try:
        return datetime.fromisoformat(at)
    except ValueError:
        return None  # not written by us: the pause begins anew


def is_aborted(app: App, number: int) -> bool:
    """Whether `rollout abort` gave up release `number`."""
    return app.metadata.annotations.get(ABORTED, "").partition(" ")[0] == str(number)


def overtaking(digest: str) -> str:
    """Return what the annotation says of a release that waits to take over."""
    return digest[:12]


class Wishes:
    """Watches an app, as one release of it is rolled out, for what others ask meanwhile."""

    def __init__(self, memory: Memory, app: App, release: Release) -> None:
        self._memory = memory
        self._app = app
        # Whoever waits to roll out the very same need not wait for a second one.
        known = app.metadata.annotations.get(OVERTAKEN)
        self._own = {None, known, overtaking(release.spec.digest)}

    async def now(self) -> App | None:
        """Return the app with what is asked of its rollout; None once it asks for another."""
        try:
            now = await self._memory.app(self._app.name)
        except NotFound:
            return None
        is_same = _asks(now) == _asks(self._app)
        return now if is_same and now.metadata.annotations.get(OVERTAKEN) in self._own else None

    async def overtaken(self) -> None:
        """Return when this rollout is no longer wanted."""
        while True:
            # Other processes write the store, and nothing tells of it.
            await asyncio.sleep(POLL)
            if await self.now() is None:
                return


def _asks(app: App) -> tuple[object, ...]:
    annotations = app.metadata.annotations
    steady = {key: value for key, value in annotations.items() if key not in STEERING}
    return app.metadata.uid, app.metadata.generation, steady
