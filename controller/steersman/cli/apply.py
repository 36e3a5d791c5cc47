"""steer apply: make the hosts agree with manifests."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import lock_timeout, verbose
from steersman.cli.options import common, filename, selector
from steersman.cli.sets import Set, inventory, set_of

if TYPE_CHECKING:
    from steersman.manifests import Loaded


@click.command()
@filename(required=False)
@click.option(
    "--plan",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Do what `steer diff --save` planned, or nothing where a host has moved since.",
)
@click.option("--dry-run", is_flag=True, help="Print what `steer diff` prints, and change nothing.")
@click.option("--prune", is_flag=True, help="Delete what the set had before and has no more.")
@inventory
@selector
@verbose
@lock_timeout
@common
@click.pass_obj
def apply(
    tools: Tools,
    filenames: tuple[str, ...],
    recursive: bool,
    plan: Path | None,
    dry_run: bool,
    prune: bool,
    inventory: str | None,
    selector: str | None,
    verbose: bool,
) -> None:
    """Make the hosts agree with manifests, and remember what they say.

    Applying again finds nothing to do. The exit code is 0 only if everything is as wanted; a
    rollout that waits in a pause of its manifest is. What another steer works on is waited for.

    \b
      steer apply -f shop.yaml                 steer apply -f manifests/ -R
      steer apply -f hosts.yaml -f shop.yaml   generate | steer apply -f -
      steer apply -f manifests/ --prune --inventory shop-team
      steer diff -f shop.yaml --save plan.json && steer apply --plan plan.json

    A job that runs once has run when this ends; Ctrl-C leaves it running.

    --prune deletes what an earlier apply of the same --inventory (or the same -l) had. Objects
    with the annotation steersman/prune: "false", hosts that hold something and secrets in use are
    kept and named. -l applies only what has the labels.
    """
    if plan is not None:
        if filenames or prune or inventory or selector:
            raise click.UsageError("a plan says all there is to apply; leave the other options out")
        asyncio.run(_apply_plan(tools, plan, is_dry=dry_run, is_verbose=verbose))
        return
    if not filenames:
        raise click.UsageError("name manifests with -f, or a plan with --plan")
    wanted = set_of(read(filenames, recursive), selector, inventory, is_pruned=prune)
    if dry_run:
        from steersman.cli.diff import show

        asyncio.run(show(tools, wanted))
    else:
        asyncio.run(_apply(tools, wanted, verbose))


def read(filenames: tuple[str, ...], recursive: bool) -> "Loaded":
    """Return the objects of manifests, or raise everything that is wrong with them."""
    from steersman.manifests import load

    return load(filenames, recursive=recursive, stdin=sys.stdin.buffer)


async def _apply(tools: Tools, wanted: Set, is_verbose: bool) -> None:
    from steersman.cli.context import opened
    from steersman.cli.outcomes import conclude
    from steersman.cli.progress import progress
    from steersman.cli.sets import tell_protected

    pruned = None
    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            objects = await work.secrets.read(wanted.objects)
            applied = await work.controller.apply(objects, inventory=wanted.inventory)
            # What replaces others serves before those go.
            if wanted.is_pruned and wanted.inventory is not None and applied.is_good:
                pruned = await work.controller.pruner.prune(wanted.inventory, wanted.keys)
    if wanted.is_pruned and pruned is None:
        click.echo("warning: nothing was pruned, as not everything is as wanted", err=True)
    tell_protected(pruned.protected if pruned is not None else {})
    conclude(applied.outcomes, report, applied.jobs, pruned.errors if pruned is not None else ())


async def _apply_plan(tools: Tools, file: Path, *, is_dry: bool, is_verbose: bool) -> None:
    from steersman.cli.context import opened
    from steersman.cli.outcomes import conclude
    from steersman.cli.planfile import load_plan
    from steersman.cli.progress import progress
    from steersman.cli.text import printable

    plan, sourced = load_plan(file)
    if is_dry:
        for app, planned in plan.apps.items():
            for host, part in planned.hosts.items():
                lines = [*part.lines, *planned.jobs.get(host, ())] or ["nothing to do"]
                told = "".join(f"  {line}\n" for line in lines)
                click.echo(printable(f"app/{app} on {host}:\n{told}"), nl=False)
        return
    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            objects = await work.secrets.read(sourced)
            applied = await work.controller.plans.apply(plan, objects)
    conclude(applied.outcomes, report, applied.jobs, applied.errors)
