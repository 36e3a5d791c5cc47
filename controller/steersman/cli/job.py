"""steer job: run jobs now, whatever their schedule."""

import asyncio
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import job_name
from steersman.cli.options import common

if TYPE_CHECKING:
    from steersman.api.job import JobRun
    from steersman.cli.context import Work


@click.group()
def job() -> None:
    """Run jobs now.

    \b
      steer job run job/backup
    """


@job.command("run")
@job_name
@click.option("--host", metavar="HOST", help="Only on this one of the job's hosts.")
@common
@click.pass_obj
def run_(tools: Tools, job: str, host: str | None) -> None:
    """Run a job now, print what it writes, and exit with its exit code.

    It runs as its timer would run it: supervised by its host, so that Ctrl-C leaves it running, and
    with its limits, timeout and retries. A timeout is code 124, a signal 128 and its number.

    \b
      steer job run job/backup       steer job run report --host h2
    """
    raise click.exceptions.Exit(asyncio.run(_run(tools, job, host)))


async def _run(tools: Tools, name: str, host: str | None) -> int:
    from steersman.api.errors import SteersmanError
    from steersman.cli.context import opened

    async with opened(tools) as work:
        hosts = (await work.memory.job(name)).status.hosts
        if (host is not None and host not in hosts) or not hosts:
            where = ", ".join(hosts) or "no host yet: apply it first"
            raise SteersmanError(f"job {name} is not on {host or 'any host'}; it is on {where}")
        chosen = hosts if host is None else (host,)
        ran = await asyncio.gather(*(_run_on(work, name, each, len(chosen) > 1) for each in chosen))
        await work.controller.jobs.refresh([await work.memory.job(name)])
    for run in ran:
        if run.state != "succeeded":
            click.echo(f"job/{name} {run.state} on {run.host}: {run.result}", err=True)
    return max(_code(run) for run in ran)


async def _run_on(work: "Work", name: str, host: str, is_labelled: bool) -> "JobRun":
    label = f"{host} | " if is_labelled else ""
    job = await work.memory.job(name)
    return await work.controller.job_runs.run(job, host, lambda line: click.echo(label + line))


def _code(run: "JobRun") -> int:
    if run.state == "succeeded":
        return 0
    return run.code or 1
