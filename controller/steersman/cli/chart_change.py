"""steer chart install and upgrade."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import lock_timeout, verbose
from steersman.cli.chart_values import Given, given_in, given_values, values
from steersman.cli.options import common

if TYPE_CHECKING:
    from steersman.charting.chart import Chart
    from steersman.control.charts import Charts, Wish


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command line asks of an install or upgrade."""

    name: str
    folder: str
    given: Given
    is_atomic: bool
    is_dry: bool
    takes_over: bool
    may_install: bool = True
    may_upgrade: bool = False
    reuses: bool = False
    resets: bool = False


def checked_name(name: str) -> str:
    """Return `name` when it can name an installation: what it installs is called after it."""
    from steersman.api.names import check_app_name
    from steersman.api.refusal import Refused

    try:
        return check_app_name(name)
    except Refused as refused:
        raise click.UsageError(f"the name {refused}") from refused


name_argument = click.argument("name", metavar="NAME")
chart_argument = click.argument("folder", metavar="CHART")
atomic = click.option(
    "--atomic", is_flag=True, help="Take back what was changed when the change fails."
)
dry_run = click.option(
    "--dry-run", is_flag=True, help="Print what `steer diff` prints, and change nothing."
)
take_ownership = click.option(
    "--take-ownership", is_flag=True, help="Take over objects that were applied by other means."
)


@click.command()
@name_argument
@chart_argument
@values
@atomic
@dry_run
@take_ownership
@verbose
@lock_timeout
@common
@click.pass_context
def install(
    ctx: click.Context,
    name: str,
    folder: str,
    atomic: bool,
    dry_run: bool,
    take_ownership: bool,
    verbose: bool,
) -> None:
    """Apply what a chart renders, and remember it as revision 1 of an installation.

    \b
      steer chart install shop charts/django -f shop.yaml
      steer chart install board charts/asgi --set app=board:app,hosts={board.example.com}
    """
    asked = Asked(name, folder, given_in(ctx), atomic, dry_run, take_ownership)
    asyncio.run(_change(ctx.obj, asked, verbose))


@click.command()
@name_argument
@chart_argument
@values
@click.option("--install", "-i", is_flag=True, help="Install it if it is not there.")
@click.option("--reuse-values", is_flag=True, help="Keep the values given before, and add to them.")
@click.option("--reset-values", is_flag=True, help="Forget the values given before.")
@atomic
@dry_run
@take_ownership
@verbose
@lock_timeout
@common
@click.pass_context
def upgrade(
    ctx: click.Context,
    name: str,
    folder: str,
    install: bool,
    reuse_values: bool,
    reset_values: bool,
    atomic: bool,
    dry_run: bool,
    take_ownership: bool,
    verbose: bool,
) -> None:
    """Apply a chart anew, and remove what it has no more.

    With no values at all those of the revision before are kept, as in Helm; with some, only these
    count, unless --reuse-values says to keep the others.

    \b
      steer chart upgrade shop charts/django --reuse-values --set web.count=4
      steer chart upgrade --install --atomic shop charts/django -f shop.yaml
    """
    if reuse_values and reset_values:
        raise click.UsageError("--reuse-values and --reset-values say the opposite; give one")
    asked = Asked(
        name, folder, given_in(ctx), atomic, dry_run, take_ownership,
        may_install=install, may_upgrade=True, reuses=reuse_values, resets=reset_values,
    )  # fmt: skip
    asyncio.run(_change(ctx.obj, asked, verbose))


async def _change(tools: Tools, asked: Asked, is_verbose: bool) -> None:
    from steersman.charting.chart import read_chart
    from steersman.cli.chart_outcome import conclude_revision
    from steersman.cli.context import opened
    from steersman.cli.progress import progress
    from steersman.control.charts import Charts

    checked_name(asked.name)
    chart = read_chart(asked.folder)
    if asked.is_dry:
        await _show(tools, asked, chart)
        return
    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            charts = Charts(work.store, work.controller, work.secrets.read)
            wish = await _wish(charts, asked, chart)
            done = await charts.put(wish, is_atomic=asked.is_atomic, takes_over=asked.takes_over)
    conclude_revision(asked.name, done, report, is_atomic=asked.is_atomic)


async def _wish(charts: "Charts", asked: Asked, chart: "Chart") -> "Wish":
    from steersman.api.installation import ChartVersion, RenderedManifest
    from steersman.charting.render import Installing, render
    from steersman.control.charts import Wish
    from steersman.control.installations import is_installed

    history = await charts.installations.history(asked.name)
    is_upgrade = asked.may_upgrade and (is_installed(history) or not asked.may_install)
    before, said = None, ""
    if is_upgrade:
        number, newest = await charts.before_upgrade(asked.name)
        if asked.reuses or (asked.given.is_empty and not asked.resets):
            before, said = newest.spec.values, f"the values of revision {newest.spec.revision}"
    else:
        number = await charts.before_install(asked.name)
    given = given_values(asked.given, chart.defaults, before, said)
    rendered = await render(chart, given, Installing(asked.name, number, is_upgrade), Path.cwd())
    meta = chart.meta
    return Wish(
        name=asked.name,
        revision=number,
        chart=ChartVersion(name=meta.name, version=meta.version, app_version=meta.app_version),
        values=given.plain_entries(),
        manifests=tuple(
            RenderedManifest(template=each.template, text=each.text) for each in rendered.manifests
        ),
        objects=rendered.loaded.objects,
        base_dir=Path.cwd(),
        notes=rendered.notes,
        description="Upgrade complete" if is_upgrade else "Install complete",
    )


async def _show(tools: Tools, asked: Asked, chart: "Chart") -> None:
    """Print what an install or upgrade would do."""
    from steersman.cli.context import opened
    from steersman.cli.diff import show
    from steersman.cli.sets import Set
    from steersman.control.charts import Charts, inventory

    async with opened(tools) as work:
        charts = Charts(work.store, work.controller, work.secrets.read)
        wish = await _wish(charts, asked, chart)
    await show(tools, Set(wish.marked_objects, wish.keys, inventory(wish.name), is_pruned=True))
