"""What `steer host cordon`, `uncordon` and `drain` do."""

from __future__ import annotations

import click

from steersman.api.quantities import parse_duration
from steersman.api.refusal import Refused
from steersman.cli.app import Tools
from steersman.cli.context import opened
from steersman.cli.outcomes import conclude
from steersman.cli.progress import progress


async def cordon_host(tools: Tools, name: str) -> None:
    """Cordon a host, in kubectl's words."""
    async with opened(tools) as work:
        is_new = await work.controller.cordons.cordon(name)
    click.echo(f"host/{name} {'cordoned' if is_new else 'already cordoned'}")


async def uncordon_host(tools: Tools, name: str, *, is_verbose: bool) -> None:
    """Uncordon a host and tell what came back; raises what went wrong there."""
    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            outcomes = await work.controller.cordons.uncordon(name)
    click.echo(f"host/{name} {'uncordoned' if outcomes is not None else 'already uncordoned'}")
    conclude(outcomes or [], report)


async def drain_host(
    tools: Tools, name: str, *, is_forced: bool, timeout: str | None, is_verbose: bool
) -> None:
    """Drain a host and tell where its apps are; raises what kept one there."""
    within = _seconds(timeout) if timeout is not None else None
    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            is_empty, outcomes = await work.controller.cordons.drain(
                name, is_forced=is_forced, within=within
            )
    if is_empty:
        click.echo(f"host/{name} drained")
    conclude(outcomes, report)


def _seconds(timeout: str) -> float | None:
    """Return the limit that --timeout sets; kubectl's 0 is none."""
    try:
        return parse_duration(timeout) or None
    except Refused:
        raise click.UsageError(
            f"--timeout={timeout}: write a duration such as 30s or 10m"
        ) from None
