"""A job in full: what it runs and when, where it is, and how its runs went."""

import asyncio
import shlex
from datetime import datetime

from steersman.api.job import Job, JobRun
from steersman.api.quantities import format_duration
from steersman.cli.context import Work
from steersman.cli.sections import conditions_section, field, metadata_fields, section
from steersman.cli.tables import age
from steersman.control.live import PATIENCE


async def describe_job(work: Work, name: str, now: datetime) -> str:
    """Return the description of a job; its hosts are asked how its runs went."""
    job = await work.memory.job(name)
    try:
        async with asyncio.timeout(PATIENCE):
            errors = await work.controller.jobs.refresh([job])
            silent = {host: str(error) for host, error in errors.items()}
    except TimeoutError:
        silent = {"hosts": f"no answer within {PATIENCE:g} s"}
    job = await work.memory.job(name)
    text = metadata_fields(job.metadata, now) + _fields(job, now)
    text += conditions_section(job.status.conditions, now)
    text += section("Runs", _rows(job.status.runs, now))
    return text + "".join(f"  {host}: not known: {why}\n" for host, why in silent.items())


def _fields(job: Job, now: datetime) -> str:
    spec = job.spec
    text = field("App", spec.app + (f", process {spec.process}" if spec.process else ""))
    text += field("Command", shlex.join(spec.command))
    zone = f" in {spec.time_zone}" if spec.time_zone is not None else ""
    text += field("Schedule", f"{spec.schedule}{zone}" if spec.schedule is not None else "once")
    for calendar in spec.calendars:
        text += field("Calendar", calendar)
    text += field("Suspended", "yes" if spec.suspend else "no")
    text += field("Concurrency", spec.concurrency)
    text += field("Timeout", "<none>" if spec.timeout is None else format_duration(spec.timeout))
    text += field("Retries", spec.retries)
    text += field("Hosts", ", ".join(job.status.hosts) or "<none>")
    at = job.status.next_run
    return text + field("Next run", at.isoformat() if at is not None else "<none>")


def _rows(runs: tuple[JobRun, ...], now: datetime) -> list[list[str]]:
    rows = [["STARTED", "HOST", "RELEASE", "STATE", "RESULT", "CODE", "ATTEMPTS", "TOOK"]]
    for run in reversed(runs):
        took = (run.ended or now) - run.started
        rows.append(
            [
                f"{age(run.started.isoformat(), now)} ago",
                run.host,
                str(run.release or "-"),
                run.state,
                run.result or "-",
                "-" if run.code is None else str(run.code),
                str(len(run.invocations)),
                format_duration(round(took.total_seconds(), 1)),
            ]
        )
    return rows
