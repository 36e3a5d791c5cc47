"""steer git: repositories to push to, beside the controller's state."""

import asyncio

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import app_name
from steersman.cli.options import common


@click.group()
def git() -> None:
    """Make repositories to deploy from by `git push`."""


@git.command()
@app_name
@click.option("--ref", default="main", show_default=True, help="The branch that is deployed.")
@click.option(
    "--route", "routes", metavar="HOST[/PATH]", multiple=True, help="Route a name to process web."
)
@common
@click.pass_obj
def create(tools: Tools, app: str, ref: str, routes: tuple[str, ...]) -> None:
    """Make a repository to push to, and an app of that name that is deployed from it.

    The app has what its source shows: the Procfile's processes, the Python and the dependencies
    that it declares. A steersman.yaml in what is pushed says more. An app that there is already
    keeps all it has. They lie where the controller's state is: on this machine, or the context's.

    \b
      steer git create shop
      steer git create app/shop --ref production --route shop.example.com
    """
    asyncio.run(_create(tools, app, ref, routes))


async def _create(tools: Tools, app: str, ref: str, routes: tuple[str, ...]) -> None:
    from steersman.cli.context import pushes_of
    from steersman.cli.progress import progress

    with progress() as report:
        async with pushes_of(tools, report) as pushes:
            made = await pushes.create(app, ref, routes)
    click.echo(f"repository {made.url} {'created' if made.is_new else 'unchanged'}")
    click.echo(made.next_steps)
