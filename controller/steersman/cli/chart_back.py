"""steer chart rollback and uninstall."""

import asyncio

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.arguments import lock_timeout, verbose
from steersman.cli.chart_outcome import conclude_revision
from steersman.cli.options import common


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("revision", required=False, type=click.IntRange(min=1))
@verbose
@lock_timeout
@common
@click.pass_obj
def rollback(tools: Tools, name: str, revision: int | None, verbose: bool) -> None:
    """Apply an older revision again, as a new one: the last good one before, if none is named.

    Its manifests come back; a git branch in them stays where it is now.

    \b
      steer chart rollback shop          steer chart rollback shop 3
    """
    asyncio.run(_rollback(tools, name, revision, verbose))


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--keep-history", is_flag=True, help="Remember its revisions; rollback brings it back."
)
@click.option("--ignore-not-found", is_flag=True, help="What is not there counts as uninstalled.")
@verbose
@lock_timeout
@common
@click.pass_obj
def uninstall(
    tools: Tools, names: tuple[str, ...], keep_history: bool, ignore_not_found: bool, verbose: bool
) -> None:
    """Remove everything that an installation has, from hosts and from memory.

    What `steersman/prune: "off"` protects, and what others need, stays and is named.

    \b
      steer chart uninstall shop         steer chart uninstall shop --keep-history
    """
    asyncio.run(_uninstall(tools, names, keep_history, ignore_not_found, verbose))


async def _rollback(tools: Tools, name: str, number: int | None, is_verbose: bool) -> None:
    from steersman.cli.context import opened
    from steersman.cli.progress import progress
    from steersman.control.charts import Charts

    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            charts = Charts(work.store, work.controller, work.secrets.read)
            done = await charts.rollback(name, number)
    conclude_revision(name, done, report)


async def _uninstall(
    tools: Tools, names: tuple[str, ...], keeps: bool, is_absence_fine: bool, is_verbose: bool
) -> None:
    from steersman.cli.context import opened
    from steersman.cli.progress import progress
    from steersman.cli.sets import tell_protected
    from steersman.control.charts import Charts
    from steersman.control.installations import NotInstalled

    faults: list[SteersmanError] = []
    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            charts = Charts(work.store, work.controller, work.secrets.read)
            for name in names:
                try:
                    pruned = await charts.uninstall(name, keeps_history=keeps)
                except NotInstalled as error:
                    if not is_absence_fine:
                        faults.append(error)
                    continue
                tell_protected(pruned.protected)
                faults += pruned.errors
                if not pruned.errors:
                    click.echo(f'installation "{name}" uninstalled')
    if faults:
        raise ExceptionGroup("not uninstalled", faults)
