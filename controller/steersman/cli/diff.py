"""steer diff: what apply would do on each host, step by step and why."""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.apply import read
from steersman.cli.arguments import app_of
from steersman.cli.kinds import complete_objects
from steersman.cli.options import common, filename
from steersman.cli.text import is_colourful, printable

if TYPE_CHECKING:
    from steersman.control.outcome import HostOutcome, Outcome
    from steersman.manifests import Loaded

SAME, DIFFERS, FAILED = 0, 1, 2


@click.command()
@click.argument("apps", nargs=-1, metavar="[app/NAME]...", shell_complete=complete_objects)
@filename(required=False)
@common
@click.pass_obj
def diff(tools: Tools, apps: tuple[str, ...], filenames: tuple[str, ...], recursive: bool) -> None:
    """Print what would be done, and do nothing: for manifests, or for apps as remembered.

    Exits 0 when nothing would be done, 1 when something would, above 1 on an error.

    \b
      steer diff -f shop.yaml      what applying it would do
      steer diff app/shop          what drifted on its hosts
    """
    tools.failure_code = FAILED
    if bool(apps) == bool(filenames):
        raise click.UsageError("name manifests with -f, or apps as app/NAME")
    if filenames:
        differs = asyncio.run(show(tools, read(filenames, recursive)))
    else:
        differs = asyncio.run(_drift(tools, [app_of(word) for word in apps]))
    raise click.exceptions.Exit(DIFFERS if differs else SAME)


async def show(tools: Tools, loaded: "Loaded") -> bool:
    """Print what applying would do; return whether that is anything. Raises what is wrong."""
    from steersman.cli.changes import changes_of
    from steersman.cli.context import opened
    from steersman.cli.progress import OnlySaid, progress

    with progress(to_stderr=True) as report:
        async with opened(tools, OnlySaid(report)) as work:
            objects = await work.secrets.read(loaded.objects)
            changes = await changes_of(work.session, objects)
            outcomes = await work.controller.diff(objects)
    for change in changes:
        click.echo(_coloured(change), nl=False)
    return _print_plans(outcomes) or bool(changes)


async def _drift(tools: Tools, apps: Sequence[str]) -> bool:
    from steersman.cli.context import opened
    from steersman.cli.progress import OnlySaid, progress

    with progress(to_stderr=True) as report:
        async with opened(tools, OnlySaid(report)) as work:
            outcomes = await work.controller.drift(apps)
    return _print_plans(outcomes)


def _print_plans(outcomes: Sequence["Outcome"]) -> bool:
    from steersman.cli.outcomes import raise_faults

    for outcome in outcomes:
        for host in sorted(outcome.hosts, key=lambda host: host.host):
            if host.steps:
                click.echo(_plan(outcome, host), nl=False)
            elif host.error is None:
                click.echo(f"app/{outcome.app} on {host.host}: nothing to do")
    raise_faults(outcomes)
    return any(host.steps for outcome in outcomes for host in outcome.hosts)


def _plan(outcome: "Outcome", host: "HostOutcome") -> str:
    release = outcome.release
    to = f" to release {release.spec.number}" if release is not None else ""
    lines = [f"app/{outcome.app} on {host.host}{to}:"]
    lines += [f"{n:4d}. {step.text} ({step.why})" for n, step in enumerate(host.steps, 1)]
    return "".join(printable(line) + "\n" for line in lines)


def _coloured(diff: str) -> str:
    if not is_colourful(sys.stdout):
        return diff
    colours = {"+": "green", "-": "red", "@": "cyan"}
    return "".join(
        click.style(line, fg=colours.get(line[0])) for line in diff.splitlines(keepends=True)
    )
