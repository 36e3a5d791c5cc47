"""What a job wrote: in its last run on each host, or in all of late."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.context import opened
from steersman.cli.interleave import interleaved
from steersman.cli.logs import Line, Wanted, Writer, warned
from steersman.planning.jobs import stem_of

if TYPE_CHECKING:
    from steersman.api.job import Job, JobRun
    from steersman.control.hosts import HostLink


async def job_logs(
    tools: Tools, name: str, host: str | None, wanted: Wanted, has_times: bool
) -> None:
    """Print the last run on each of a job's hosts; followed, also those that come."""
    async with opened(tools) as work:
        errors = await work.controller.jobs.refresh([await work.memory.job(name)])
        silent = [warned(error) for error in errors.values()]
        job = await work.memory.job(name)
        hosts = [each for each in job.status.hosts if host in (None, each)]
        if not hosts:
            where = ", ".join(job.status.hosts) or "no host yet; apply it first"
            raise SteersmanError(f"job {name} is not on host {host}; it is on {where}")
        links, _ = await work.session.connect_all(hosts, await work.memory.hosts())
        last = {run.host: run for run in job.status.runs}
        streams = [_lines(link, job, last.get(link.name), wanted) for link in links.values()]
        write = Writer([f"{each} {name}" for each in hosts], has_times)
        async with aclosing(interleaved(streams, is_live=wanted.is_followed)) as merged:
            async for line in merged:
                write(line)
    if silent:
        raise click.exceptions.Exit(1)


async def _lines(
    link: "HostLink", job: "Job", run: "JobRun | None", wanted: Wanted
) -> AsyncIterator[Line]:
    if run is None and not wanted.is_followed:
        return
    chosen = _chosen(run, wanted)
    stream = link.link.stream(
        "logs", pattern=stem_of(job.spec.app, job.name), lines=wanted.lines, **chosen
    )
    async with aclosing(stream) as replies:
        async for reply in replies:
            entry = reply.header
            if "line" in entry:
                is_system = entry.get("system") is True
                yield Line(float(entry["t"]), link.name, job.name, str(entry["line"]), is_system)


def _chosen(run: "JobRun | None", wanted: Wanted) -> dict[str, Any]:
    """Return which lines: of one run by its ids, else by time, so that later runs are seen too."""
    if not wanted.since and not wanted.is_followed and run is not None:
        return {"since": "", "follow": False, "invocations": list(run.invocations)}
    started = f"@{run.started.timestamp():.6f}" if run is not None else ""
    return {"since": wanted.since or started, "follow": wanted.is_followed}
