"""What a deploy says of itself, as lines for a pusher's terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from steersman.builds.text import clean
from steersman.control.report import Silent, Verdict
from steersman.planning.steps import Step

Say = Callable[[str], None]

QUIET = 10.0
"""Seconds without a line after which a pusher is told what is waited for."""
MOST_LINES = 5000
_MOST_CHARS = 500
_MARKED = frozenset({"failed", "unreachable", "rejected"})
_THERE = frozenset({"converged", "unchanged"})


class Remote(Silent):
    """A Reporter that says lines; `say` must not block, and gets nothing a terminal would obey."""

    def __init__(self, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = say
        self._clock = clock
        self._left = MOST_LINES
        self.hosts = 0
        """How many hosts the pushed app goes to, as far as is known."""
        self._at: dict[str, tuple[Step, float]] = {}
        self._there: set[str] = set()
        self._told_at = self._since = clock()
        self._doing = "the push is looked at"

    @property
    def silence(self) -> float:
        """Seconds since the last line."""
        return self._clock() - self._told_at

    def remind(self) -> None:
        """Say what is waited for, and how long already; it counts for none of the lines."""
        doing, since = self._doing, self._since
        if self._at:
            host, (step, since) = min(self._at.items(), key=lambda at: at[1][1])
            others = f" and {len(self._at) - 1} more" if self._at.keys() - {host} else ""
            of = max(self.hosts, len(self._there | self._at.keys()))
            doing = f"rolling out: {len(self._there)}/{of} hosts, {host}{others}: {step.text}"
        self._say(f"{clean(doing)[:_MOST_CHARS]} ({self._clock() - since:.0f} s)")

    def _say(self, text: str) -> None:
        self._told_at = self._clock()
        self._tell(text)

    def line(self, text: str) -> None:
        """Say a text, line by line; a build without end is cut off, not its end."""
        for line in text.split("\n"):
            if self._left > 0:
                self._left -= 1
                indent = " " * (len(line) - len(line.lstrip(" ")))
                self._say((indent + clean(line))[:_MOST_CHARS])
                if self._left == 0:
                    self._say("… more than can be shown here; how it ends is said yet")

    def last(self, text: str) -> None:
        """Say how it ended, however much was said before."""
        self._left = max(self._left, MOST_LINES)
        self.line(text)

    def object_changed(self, key: str, change: str) -> None:
        if change != "unchanged":
            self.line(f"{key} {change}")

    def said(self, subject: str, text: str) -> None:
        self.line(f"{subject}: {text}")
        self._doing, self._since = f"still at: {subject}: {text}", self._clock()

    def step_ended(self, host: str, app: str, step: Step, seconds: float) -> None:
        self._at.pop(host, None)

    def step_began(self, host: str, app: str, step: Step, number: int, of: int) -> None:
        self._at[host] = step, self._clock()
        self._there.discard(host)
        if number == 1:
            self.line(f"{host}: {app}: {of} step{'' if of == 1 else 's'}, first {step.text}")
        elif step.phase == "gate":
            # It may take as long as the app's deadline: whoever waits should know what for.
            self.line(f"{host}: {app}: {step.text}")

    def host_ended(self, host: str, app: str, verdict: Verdict, detail: str) -> None:
        self._at.pop(host, None)
        if verdict in _THERE:
            self._there.add(host)
        self.line(f"{host}: {app} {verdict}")
        # The same reason is said once, at the end, where it is the app's.
        if verdict in _MARKED and verdict != "rejected" and detail:
            self.line(f"error: {detail}")


@asynccontextmanager
async def reminding(remote: Remote, quiet: float) -> AsyncIterator[None]:
    """Have a pusher reminded of what is waited for whenever nothing was said for `quiet` seconds.

    A terminal that says nothing looks dead, and what is between may close a connection that is.
    """

    async def remind() -> None:
        while True:
            await asyncio.sleep(max(quiet - remote.silence, quiet / 10))
            if remote.silence >= quiet:
                remote.remind()

    task = asyncio.create_task(remind())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
