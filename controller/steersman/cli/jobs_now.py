"""How jobs are on their hosts just now, asked with little patience."""

import asyncio
from collections.abc import Sequence

import click

from steersman.cli.app import Tools
from steersman.cli.text import printable

PATIENCE = 5.0


async def refresh_jobs(tools: Tools, names: Sequence[str | None]) -> None:
    """Remember how jobs (all, when a name is None) are now; warn of hosts that say nothing."""
    async with tools.store() as store:
        if not await store.list("Job"):
            return
    from steersman.cli.context import opened

    async with opened(tools) as work:
        jobs = [j for j in await work.memory.jobs() if None in names or j.name in names]
        try:
            async with asyncio.timeout(PATIENCE):
                silent = await work.controller.jobs.refresh(jobs)
        except TimeoutError:
            click.echo(f"warning: no answer within {PATIENCE:g} s: as remembered", err=True)
            return
    for error in silent.values():
        click.echo(f"warning: {printable(str(error))}", err=True)
