"""What an app's processes wrote, or a job, from all its hosts as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from steersman.api.app import App
from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.api.job import Job, JobRun
from steersman.control.hosts import HostLink
from steersman.control.interleave import interleaved
from steersman.control.jobs import Jobs
from steersman.control.places import hosts_of, known_process, processes_of
from steersman.control.session import Session
from steersman.planning.jobs import stem_of
from steersman.planning.seen import parse_unit

AGAIN = 1.0
"""Seconds between two attempts to go on with a host whose link is lost."""


class Line(NamedTuple):
    """A line of a log; `is_system` tells the supervisor's words from the app's.

    `priority` is syslog's, as the host's journal has it.
    """

    time: float
    host: str
    process: str
    text: str
    is_system: bool = False
    priority: int = 6

    @property
    def label(self) -> str:
        return f"{self.host} {self.process}"


class Labels(NamedTuple):
    """The labels that lines may have, told first."""

    labels: tuple[str, ...]


class Lack(NamedTuple):
    """Why lines are missing, or not masked. It goes ahead of lines: those go on for long."""

    why: str
    time: float = 0.0


class Wanted(NamedTuple):
    """Which lines: `since` in journalctl's words, `lines` of each process (-1: all)."""

    since: str
    lines: int
    is_followed: bool


Told = Line | Labels | Lack


async def app_logs(
    session: Session, name: str, process: str | None, host: str | None, wanted: Wanted
) -> AsyncGenerator[Told]:
    """Yield the lines of an app's processes, or of one, with its secrets masked."""
    memory = session.memory
    app = await memory.app(name)
    if process is not None:
        await known_process(memory, app, process)
    processes = [process] if process is not None else await processes_of(memory, app)
    names = await hosts_of(memory, app, host)
    links, errors = await session.connect_all(names, await memory.hosts())
    lacks = [Lack(str(error)) for error in errors.values()]
    await _learn(session, app, lacks)
    yield Labels(tuple(f"{name} {each}" for name in names for each in processes))
    for lack in lacks:
        yield lack
    streams = [
        _app_lines(session, link, app.name, each, wanted)
        for link in links.values()
        for each in processes
    ]
    async with aclosing(interleaved(streams, is_live=wanted.is_followed)) as merged:
        async for told in merged:
            yield told


async def job_logs(
    session: Session, jobs: Jobs, name: str, host: str | None, wanted: Wanted
) -> AsyncGenerator[Told]:
    """Yield the last run on each of a job's hosts; followed, also those that come."""
    memory = session.memory
    errors = await jobs.refresh([await memory.job(name)])
    lacks = [Lack(str(error)) for error in errors.values()]
    job = await memory.job(name)
    await _learn(session, await memory.app(job.spec.app), lacks)
    hosts = [each for each in job.status.hosts if host in (None, each)]
    if not hosts:
        where = ", ".join(job.status.hosts) or "no host yet; apply it first"
        raise SteersmanError(f"job {name} is not on host {host}; it is on {where}")
    links, _ = await session.connect_all(hosts, await memory.hosts())
    yield Labels(tuple(f"{each} {name}" for each in hosts))
    for lack in lacks:
        yield lack
    last = {run.host: run for run in job.status.runs}
    streams = [_job_lines(link, job, last.get(link.name), wanted) for link in links.values()]
    async with aclosing(interleaved(streams, is_live=wanted.is_followed)) as merged:
        async for told in merged:
            yield told


async def _learn(session: Session, app: App, lacks: list[Lack]) -> None:
    """Have the app's secrets masked; without the key that opens them, its output still counts."""
    locked = await session.vault.learn(app.spec.config.secrets)
    if locked is not None:
        lacks.append(Lack(str(locked)))


async def _app_lines(
    session: Session, link: HostLink, app: str, process: str, wanted: Wanted
) -> AsyncIterator[Line | Lack]:
    """Yield a host's lines; followed, those behind a loss of its link too, none of them twice."""
    after: dict[str, Any] = {}
    is_told = False
    while True:
        try:
            async with aclosing(_entries(link, app, process, wanted, after)) as entries:
                async for entry in entries:
                    is_told = False
                    unit = parse_unit(str(entry.get("unit")))
                    instance = f".{unit.instance}" if unit is not None and unit.instance else ""
                    yield _line(link, process + instance, entry)
            return
        except SteersmanError as error:
            if not (wanted.is_followed and isinstance(error, HostUnreachable)):
                yield Lack(str(error))
                return
            if not is_told:
                is_told = True
                yield Lack(f"{error}; its lines go on when it is back")
        await asyncio.sleep(AGAIN)
        link = await _reconnected(session, link)


async def _reconnected(session: Session, link: HostLink) -> HostLink:
    """Return the host's link as it is by now; the lost one while there is no other."""
    if link.name not in session.silent:
        try:
            return await session.connect(link.host, await session.memory.hosts())
        except SteersmanError:
            pass  # to be tried again, and told already
    return link


async def _entries(
    link: HostLink, app: str, process: str, wanted: Wanted, after: dict[str, Any]
) -> AsyncGenerator[Mapping[str, Any]]:
    """Yield entries behind `after`, where the host has told of them so far; keep that so."""
    stream = link.link.stream(
        "logs",
        pattern=f"steersman-{app}.{process}.g*",
        since=wanted.since,
        lines=wanted.lines,
        follow=wanted.is_followed,
        after=after,
    )
    async with aclosing(stream) as replies:
        async for reply in replies:
            if "line" in reply.header:  # the last answer only says that it is
                after |= reply.header.get("at") or {}
                yield reply.header


async def _job_lines(
    link: HostLink, job: Job, run: JobRun | None, wanted: Wanted
) -> AsyncIterator[Line]:
    if run is None and not wanted.is_followed:
        return
    stream = link.link.stream(
        "logs", pattern=stem_of(job.spec.app, job.name), lines=wanted.lines, **_chosen(run, wanted)
    )
    async with aclosing(stream) as replies:
        async for reply in replies:
            if "line" in reply.header:
                yield _line(link, job.name, reply.header)


def _chosen(run: JobRun | None, wanted: Wanted) -> dict[str, Any]:
    """Return which lines: of one run by its ids, else by time, so that later runs are seen too."""
    if not wanted.since and not wanted.is_followed and run is not None:
        return {"since": "", "follow": False, "invocations": list(run.invocations)}
    started = f"@{run.started.timestamp():.6f}" if run is not None else ""
    return {"since": wanted.since or started, "follow": wanted.is_followed}


def _line(link: HostLink, process: str, entry: Mapping[str, Any]) -> Line:
    text, is_system = link.masks.text(str(entry["line"])), entry.get("system") is True
    priority = entry.get("priority")
    known = priority if isinstance(priority, int) else 6
    return Line(float(entry["t"]), link.name, process, text, is_system, known)
