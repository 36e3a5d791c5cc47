"""What is said while hosts are worked on: lines, and on a terminal a table of what goes on."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from steersman.cli.text import is_colourful, one_line, printable
from steersman.control.report import Silent

if TYPE_CHECKING:
    from rich.table import Table

    from steersman.control.report import Verdict
    from steersman.planning.steps import Step

# Rows that a table may take from a terminal of 24 lines.
MOST_ROWS = 12


@dataclass(slots=True)
class Activity:
    """What goes on for one app on one host (or, with no host, for its build)."""

    began: float
    text: str = ""
    count: str = ""
    steps: int = 0


class Lines:
    """A Reporter that says a line for what is worth one; `is_verbose` makes each step worth it.

    `complain` is told once why hosts failed, as soon as they do.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        complain: Callable[[str], None],
        *,
        is_verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._complain = complain
        self._is_verbose = is_verbose
        self._clock = clock
        self._made = clock()
        self._rejected: set[str] = set()
        self.activities: dict[tuple[str, str], Activity] = {}
        self.told: set[str] = set()
        """What was complained of."""

    @property
    def seconds(self) -> float:
        return self._clock() - self._made

    def object_changed(self, key: str, change: str) -> None:
        self._say(f"{key} {change}")

    def said(self, subject: str, text: str) -> None:
        first = ("", subject) not in self.activities
        activity = self.activities.setdefault(("", subject), Activity(self._clock()))
        activity.text = one_line(text)
        # A build says much: what it is about is enough for those who did not ask.
        if first or self._is_verbose or text.startswith(("release ", "building ")):
            self._say(f"{subject}: {printable(text)}")

    def step_began(self, host: str, app: str, step: "Step", number: int, of: int) -> None:
        self.activities.pop(("", app), None)
        activity = self.activities.setdefault((host, app), Activity(self._clock()))
        activity.text, activity.count = step.text, f"{number}/{of}"

    def step_ended(self, host: str, app: str, step: "Step", seconds: float) -> None:
        self.activities[host, app].steps += 1
        if self._is_verbose:
            self._say(f"{host}: {app}: {step.text} ({step.why}) {seconds:.2f}s")

    def host_ended(self, host: str, app: str, verdict: "Verdict", detail: str) -> None:
        activity = self.activities.pop((host, app), None)
        seconds = self._clock() - (activity.began if activity is not None else self._made)
        steps = activity.steps if activity is not None else 0
        if verdict == "rejected":
            self._rejected.add(app)
        self._say(f"{host}: {app} {self._fate(app, verdict, steps, seconds)}")
        if verdict in ("failed", "unreachable") and detail not in self.told:
            self.told.add(detail)
            self._complain(f"error: {printable(detail)}")

    def _fate(self, app: str, verdict: "Verdict", steps: int, seconds: float) -> str:
        made = f"{steps} step{'' if steps == 1 else 's'} in {seconds:.1f}s"
        match verdict:
            case "unchanged":
                return "unchanged"
            case "converged" if app in self._rejected:
                return f"back on what served before, {made}"
            case "converged" | "removed":
                return f"{verdict}, {made}" if steps else verdict
            case _:
                return f"{verdict} after {seconds:.1f}s"


class OnlySaid(Silent):
    """Passes on what is said of builds: when nothing is done, no host ends anything."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def said(self, subject: str, text: str) -> None:
        self._lines.said(subject, text)


class _Table(Lines):
    """The lines, and below them a table that `rich` draws again and again from its own thread."""

    def table(self) -> "Table":
        from rich.table import Table
        from rich.text import Text

        now = self._clock()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for title in ("HOST", "APP", "STEP", "DOING"):
            table.add_column(title, no_wrap=True, style="bold" if title == "HOST" else "")
        table.add_column("TIME", justify="right", no_wrap=True)
        # The loop's thread changes the dict meanwhile: list() takes it in one go.
        active = list(self.activities.items())
        for (host, app), activity in active[:MOST_ROWS]:
            words = (host or "here", app, activity.count, activity.text)
            table.add_row(*map(Text, words), Text(f"{now - activity.began:.0f}s"))
        if len(active) > MOST_ROWS:
            table.add_row("…", Text(f"and {len(active) - MOST_ROWS} more"))
        table.show_header = bool(active)
        return table


@contextmanager
def progress(*, is_verbose: bool = False, to_stderr: bool = False) -> Iterator[Lines]:
    """Yield the reporter that fits where it writes: a table on a terminal, else plain lines."""
    stream = sys.stderr if to_stderr else sys.stdout
    if is_verbose or not stream.isatty() or not is_colourful(stream):
        yield Lines(lambda text: click.echo(text, err=to_stderr), _to_stderr, is_verbose=is_verbose)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(file=stream, highlight=False, markup=False, emoji=False)

    def draw(text: str) -> None:
        console.print(_styled(text, Text), soft_wrap=True)

    # Only what rich knows of does not tear its table.
    report = _Table(draw, draw if sys.stderr.isatty() else _to_stderr)
    with Live(
        get_renderable=report.table,
        console=console,
        transient=True,
        refresh_per_second=8,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield report


def _to_stderr(text: str) -> None:
    click.echo(text, err=True)


def _styled(text: str, make: type) -> object:
    """Return a line with its verdict in colour."""
    styled = make(text)
    styled.highlight_regex(r"(?<=\w )(created|configured|converged|deleted|removed)\b", "green")
    styled.highlight_regex(r"(?<=\w )(rejected|failed|unreachable)\b|^error:", "red")
    return styled
