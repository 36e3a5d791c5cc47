"""steer logs: what an app's processes wrote, or a job, from all its hosts."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import app_or_job, process
from steersman.cli.options import common
from steersman.cli.text import is_colourful, printable

if TYPE_CHECKING:
    from steersman.api.errors import SteersmanError
    from steersman.control.hosts import HostLink

TAIL = 100
_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green")


class Line(NamedTuple):
    """A line of a log; `is_system` tells the supervisor's words from the app's."""

    time: float
    host: str
    process: str
    text: str
    is_system: bool = False

    @property
    def label(self) -> str:
        return f"{self.host} {self.process}"


class Wanted(NamedTuple):
    """Which lines: `since` in journalctl's words, `lines` of each process (-1: all)."""

    since: str
    lines: int
    is_followed: bool


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

    \b
      steer logs app/shop              steer logs app/shop -p worker -f
      steer logs app/shop --since 10m  steer logs app/shop --host h1 --tail 20
      steer logs job/backup            steer logs job/backup --since 1d
    """
    kind, name = what
    wanted = _wanted(since, tail, follow)
    if kind == "Job":
        from steersman.cli.logs_job import job_logs

        if process is not None:
            raise click.UsageError("a job has no processes; leave -p out")
        asyncio.run(job_logs(tools, name, host, wanted, timestamps))
    else:
        asyncio.run(_logs(tools, name, process, host, wanted, timestamps))


def _wanted(since: str | None, tail: int | None, is_followed: bool) -> Wanted:
    from steersman.api.quantities import parse_duration

    # Relative, so that the host's own clock decides.
    started = f"-{parse_duration(since):.0f}s" if since is not None else ""
    lines = tail if tail is not None else TAIL if since is None else -1
    return Wanted(started, lines, is_followed)


async def _logs(
    tools: Tools,
    app: str,
    process: str | None,
    host: str | None,
    wanted: Wanted,
    has_times: bool,
) -> None:
    from steersman.cli.context import opened
    from steersman.cli.interleave import interleaved
    from steersman.cli.places import hosts_of, known_process, processes_of

    async with opened(tools) as work:
        target = await work.memory.app(app)
        if process is not None:
            await known_process(work, target, process)
        processes = [process] if process is not None else await processes_of(work, target)
        names = await hosts_of(work, target, host)
        links, errors = await work.session.connect_all(names, await work.memory.hosts())
        silent = [warned(error) for error in errors.values()]
        streams = [
            _lines(link, app, each, wanted, silent) for link in links.values() for each in processes
        ]
        write = Writer([f"{name} {each}" for name in names for each in processes], has_times)
        async with aclosing(interleaved(streams, is_live=wanted.is_followed)) as merged:
            async for line in merged:
                write(line)
    if silent:
        raise click.exceptions.Exit(1)


def warned(error: "SteersmanError") -> str:
    """Say now why a host gives no lines: the others may go on for long."""
    text = printable(str(error))
    click.echo(f"warning: {text}", err=True)
    return text


async def _lines(
    link: "HostLink", app: str, process: str, wanted: Wanted, silent: list[str]
) -> AsyncIterator[Line]:
    from steersman.api.errors import SteersmanError
    from steersman.planning.seen import parse_unit

    stream = link.link.stream(
        "logs",
        pattern=f"steersman-{app}.{process}.g*",
        since=wanted.since,
        lines=wanted.lines,
        follow=wanted.is_followed,
    )
    try:
        async with aclosing(stream) as replies:
            async for reply in replies:
                entry = reply.header
                if "line" not in entry:
                    continue  # the last answer only says that it is
                unit = parse_unit(str(entry.get("unit")))
                instance = f".{unit.instance}" if unit is not None and unit.instance else ""
                yield Line(
                    float(entry["t"]),
                    link.name,
                    process + instance,
                    str(entry["line"]),
                    entry.get("system") is True,
                )
    except SteersmanError as error:
        silent.append(warned(error))


class Writer:
    """Prints lines behind labels of equal width, each label in a colour of its own."""

    def __init__(self, labels: Sequence[str], has_times: bool) -> None:
        self._width = max(map(len, labels), default=0) + 2
        self._has_times = has_times
        self._is_colourful = is_colourful(sys.stdout)
        self._colours: dict[str, str] = {}
        self._next = cycle(_COLOURS)

    def __call__(self, line: Line) -> None:
        label = line.label.ljust(self._width) + " | "
        if self._is_colourful:
            colour = self._colours.get(line.label) or next(self._next)
            self._colours[line.label] = colour
            label = click.style(label, fg=colour)
        time = ""
        if self._has_times:
            stamp = datetime.fromtimestamp(line.time).astimezone()
            time = stamp.isoformat(timespec="milliseconds") + " "
        # A line that holds line ends must not pass for one of another host.
        for text in line.text.split("\n"):
            shown = printable(text)
            if self._is_colourful and line.is_system:
                shown = click.style(shown, dim=True)
            click.echo(f"{time}{label}{shown}", color=self._is_colourful)
