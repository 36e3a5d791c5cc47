"""steer chart: parameterised manifests, in Helm's layout and verbs."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.chart_back import rollback, uninstall
from steersman.cli.chart_change import install, upgrade
from steersman.cli.chart_look import history, list_
from steersman.cli.chart_values import Given, given_in, given_values, values
from steersman.cli.options import common
from steersman.cli.text import is_colourful, printable

if TYPE_CHECKING:
    from steersman.charting.render import Rendered

ANY_NAME = "release-name"


class NotShown(SteersmanError):
    """A template was asked for that renders to nothing, or is not there."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(
            f"--show-only {name}: nothing was rendered from it; these were: "
            f"{', '.join(known) or 'none'}"
        )


class NotLinted(SteersmanError):
    """Charts with problems, which were all said."""

    def __init__(self, count: int) -> None:
        what = "1 chart has" if count == 1 else f"{count} charts have"
        super().__init__(f"{what} problems; mend what is named above and lint again")


@click.group()
def chart() -> None:
    """Install, upgrade and take back charts: manifests with values to fill in.

    A chart is a folder with Chart.yaml, values.yaml and templates (Jinja2), as Helm lays it out.

    \b
      steer chart create shop                     begin one of your own
      steer chart install shop charts/django -f shop.yaml
      steer chart upgrade shop charts/django --set web.count=4
      steer chart history shop                    steer chart rollback shop
    """


@chart.command()
@click.argument("arguments", nargs=-1, required=True, metavar="[NAME] CHART")
@values
@click.option("-s", "--show-only", multiple=True, metavar="TEMPLATE", help="Only these templates.")
@click.option("--is-upgrade", is_flag=True, help="Render as for an upgrade.")
@common
@click.pass_context
def template(
    ctx: click.Context, arguments: tuple[str, ...], show_only: tuple[str, ...], is_upgrade: bool
) -> None:
    """Print the manifests that a chart renders, and touch nothing.

    \b
      steer chart template shop charts/django -f shop.yaml
      steer chart template charts/asgi --show-only templates/app.yaml | steer diff -f -
    """
    if len(arguments) > 2:
        raise click.UsageError("name the installation and the chart's folder, no more")
    name, folder = arguments if len(arguments) == 2 else (ANY_NAME, arguments[0])
    rendered = asyncio.run(_rendered(name, folder, given_in(ctx), is_upgrade))
    known = {f"templates/{each.template}": each.text for each in rendered.manifests}
    for asked in show_only:
        if asked not in known:
            raise NotShown(asked, sorted(known))
    for path, text in known.items():
        if path in show_only or not show_only:
            click.echo(f"---\n# Source: {path}\n{printable(text).rstrip()}")


async def _rendered(name: str, folder: str, given: Given, is_upgrade: bool) -> "Rendered":
    from steersman.charting.chart import read_chart
    from steersman.charting.render import Installing, render
    from steersman.cli.chart_change import checked_name

    found = read_chart(folder)
    release = Installing(checked_name(name), 1, is_upgrade)
    return await render(found, given_values(given, found.defaults), release, Path.cwd())


@chart.command()
@click.argument("folders", nargs=-1, required=True, metavar="CHART...")
@values
@common
@click.pass_context
def lint(ctx: click.Context, folders: tuple[str, ...]) -> None:
    """Look for problems in charts: their files, their schema, and what they render.

    Renders with the chart's own values and those that are given. Exits 1 with problems.

    \b
      steer chart lint charts/*/         steer chart lint charts/django -f shop.yaml
    """
    from steersman.charting.problems import ChartErrors

    given, failed = given_in(ctx), 0
    for folder in folders:
        click.echo(f"==> Linting {folder}")
        try:
            asyncio.run(_rendered(ANY_NAME, folder, given, False))
        except ChartErrors as errors:
            failed += 1
            for problem in errors.problems:
                label = click.style("[ERROR]", fg="red")
                click.echo(f"{label} {printable(str(problem))}", color=is_colourful(sys.stdout))
    total = "1 chart" if len(folders) == 1 else f"{len(folders)} charts"
    click.echo(f"\n{total} linted, {failed} with problems")
    if failed:
        raise NotLinted(failed)


@chart.command()
@click.argument("folder", metavar="NAME")
@common
@click.pass_obj
def create(tools: Tools, folder: str) -> None:
    """Begin a chart of your own: a folder of this name that lints and installs.

    \b
      steer chart create shop && steer chart lint shop
    """
    from steersman.charting.starter import create as make

    for path in make(Path(folder)):
        click.echo(f"created {path}")
    click.echo(f"next: edit {folder}/values.yaml, then `steer chart lint {folder}`")


for command in (install, upgrade, rollback, uninstall, list_, history):
    chart.add_command(command)
