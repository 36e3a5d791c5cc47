"""steer logs: what an app's processes wrote, or a job, from all its hosts."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import app_or_job, process
from steersman.cli.options import common
from steersman.cli.text import is_colourful, printable

if TYPE_CHECKING:
    from steersman.control.logs import Line, Wanted

TAIL = 100
_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green")
_LEVELS = {"warning": "yellow", "error": "red", "critical": "red"}


@click.command()
@app_or_job
@process("Only this process.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option("--since", metavar="DURATION", help="Only lines younger than this, such as 10m.")
@click.option(
    "--tail", type=click.IntRange(min=-1), metavar="LINES",
    help=f"The last lines of each process on each host; -1 is all [default: {TAIL}].",
)  # fmt: skip
@click.option("--host", metavar="HOST", help="Only this host.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@common
@click.pass_obj
def logs(
    tools: Tools,
    what: tuple[str, str],
    process: str | None,
    follow: bool,
    since: str | None,
    tail: int | None,
    host: str | None,
    timestamps: bool,
) -> None:
    """Print what an app's processes wrote, from all its hosts by time; of a job, its last run.

    Values of the app's secrets are masked.

    \b
      steer logs app/shop              steer logs app/shop -p worker -f
      steer logs app/shop --since 10m  steer logs app/shop --host h1 --tail 20
      steer logs job/backup            steer logs job/backup --since 1d
    """
    if what[0] == "Job" and process is not None:
        raise click.UsageError("a job has no processes; leave -p out")
    asyncio.run(_logs(tools, what, process, host, _wanted(since, tail, follow), timestamps))


def _wanted(since: str | None, tail: int | None, is_followed: bool) -> "Wanted":
    from steersman.api.quantities import parse_duration
    from steersman.control.logs import Wanted

    # Relative, so that the host's own clock decides.
    started = f"-{parse_duration(since):.0f}s" if since is not None else ""
    lines = tail if tail is not None else TAIL if since is None else -1
    return Wanted(started, lines, is_followed)


async def _logs(
    tools: Tools,
    what: tuple[str, str],
    process: str | None,
    host: str | None,
    wanted: "Wanted",
    has_times: bool,
) -> None:
    from steersman.cli.context import opened
    from steersman.control.logs import Labels, Lack

    kind: Literal["App", "Job"] = "Job" if what[0] == "Job" else "App"
    write, is_whole = Writer((), has_times), True
    async with opened(tools) as work:
        logs = work.looks.logs(kind, what[1], process, host, wanted)
        async with aclosing(logs) as items:
            async for item in items:
                match item:
                    case Labels(labels):
                        write = Writer(labels, has_times)
                    case Lack(why):
                        # Now: the others may go on for long.
                        click.echo(f"warning: {printable(why)}", err=True)
                        is_whole = False
                    case _:
                        write(item)
    if not is_whole:
        raise click.exceptions.Exit(1)


class Writer:
    """Prints lines behind labels of equal width, each label in a colour of its own."""

    def __init__(self, labels: Sequence[str], has_times: bool) -> None:
        self._width = max(map(len, labels), default=0) + 2
        self._has_times = has_times
        self._is_colourful = is_colourful(sys.stdout)
        self._colours: dict[str, str] = {}
        self._next = cycle(_COLOURS)

    def __call__(self, line: "Line") -> None:
        label = line.label.ljust(self._width) + " | "
        if self._is_colourful:
            colour = self._colours.get(line.label) or next(self._next)
            self._colours[line.label] = colour
            label = click.style(label, fg=colour)
        time = ""
        if self._has_times:
            stamp = datetime.fromtimestamp(line.time).astimezone()
            time = stamp.isoformat(timespec="milliseconds") + " "
        style = self._style(line)
        # A line that holds line ends must not pass for one of another host.
        for text in line.text.split("\n"):
            shown = click.style(printable(text), **style) if style else printable(text)
            click.echo(f"{time}{label}{shown}", color=self._is_colourful)

    def _style(self, line: "Line") -> dict[str, Any]:
        """Return how a line looks on a terminal: what went wrong stands out."""
        if not self._is_colourful:
            return {}
        if line.is_system:
            return {"dim": True}
        from steersman.telemetry.lines import read

        colour = _LEVELS.get(read(line.text, line.priority).level)
        return {"fg": colour} if colour is not None else {}
