"""What a deploy says of itself, as lines for a pusher's terminal."""

from __future__ import annotations

from collections.abc import Callable

from steersman.builds.text import clean
from steersman.control.report import Silent, Verdict
from steersman.planning.steps import Step

Say = Callable[[str], None]

MOST_LINES = 5000
_MOST_CHARS = 500
_MARKED = frozenset({"failed", "unreachable", "rejected"})


class Remote(Silent):
    """A Reporter that says lines; `say` must not block, and gets nothing a terminal would obey."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._left = MOST_LINES

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

    def step_began(self, host: str, app: str, step: Step, number: int, of: int) -> None:
        if number == 1:
            self.line(f"{host}: {app}: {of} step{'' if of == 1 else 's'}, first {step.text}")
        elif step.phase == "gate":
            # It may take as long as the app's deadline: whoever waits should know what for.
            self.line(f"{host}: {app}: {step.text}")

    def host_ended(self, host: str, app: str, verdict: Verdict, detail: str) -> None:
        self.line(f"{host}: {app} {verdict}")
        # The same reason is said once, at the end, where it is the app's.
        if verdict in _MARKED and verdict != "rejected" and detail:
            self.line(f"error: {detail}")
