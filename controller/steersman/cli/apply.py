"""steer apply: make the hosts agree with manifests."""

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import lock_timeout, verbose
from steersman.cli.options import common, filename

if TYPE_CHECKING:
    from steersman.manifests import Loaded


@click.command()
@filename(required=True)
@click.option("--dry-run", is_flag=True, help="Print what `steer diff` prints, and change nothing.")
@verbose
@lock_timeout
@common
@click.pass_obj
def apply(
    tools: Tools, filenames: tuple[str, ...], recursive: bool, dry_run: bool, verbose: bool
) -> None:
    """Make the hosts agree with manifests, and remember what they say.

    Applying again finds nothing to do. The exit code is 0 only if everything is as wanted; a
    rollout that waits in a pause of its manifest is. What another steer works on is waited for.

    \b
      steer apply -f shop.yaml                 steer apply -f manifests/ -R
      steer apply -f hosts.yaml -f shop.yaml   generate | steer apply -f -
    """
    loaded = read(filenames, recursive)
    if dry_run:
        from steersman.cli.diff import show

        asyncio.run(show(tools, loaded))
    else:
        asyncio.run(_apply(tools, loaded, verbose))


def read(filenames: tuple[str, ...], recursive: bool) -> "Loaded":
    """Return the objects of manifests, or raise everything that is wrong with them."""
    from steersman.manifests import load

    return load(filenames, recursive=recursive, stdin=sys.stdin.buffer)


async def _apply(tools: Tools, loaded: "Loaded", is_verbose: bool) -> None:
    from steersman.cli.context import opened
    from steersman.cli.outcomes import conclude
    from steersman.cli.progress import progress

    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            objects = await work.secrets.read(loaded.objects)
            applied = await work.controller.apply(objects)
    conclude(applied.outcomes, report)
