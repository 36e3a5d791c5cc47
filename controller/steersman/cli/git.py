"""steer git: repositories to push to, on the controller's own machine."""

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.arguments import app_name
from steersman.cli.options import common

if TYPE_CHECKING:
    from steersman.api.app import App
    from steersman.cli.context import Here
    from steersman.server.git.config import Git


class SourceElsewhere(SteersmanError):
    """An app is deployed from another repository than the one that was made for it."""


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
    keeps all it has. Works on the controller's machine, with `steer serve` running or not.

    \b
      steer git create shop
      steer git create app/shop --ref production --route shop.example.com
    """
    asyncio.run(_create(tools, app, ref, routes))


async def _create(tools: Tools, app: str, ref: str, routes: tuple[str, ...]) -> None:
    from steersman.api.app import App
    from steersman.api.names import check_app_name
    from steersman.api.source import check_ref
    from steersman.cli.context import opened_here, refuse_elsewhere
    from steersman.cli.progress import progress
    from steersman.server.config import FILE, read_config
    from steersman.server.git.depot import Depot
    from steersman.server.git.endpoint import FOLDER

    check_app_name(app)
    check_ref(ref)
    refuse_elsewhere(tools, "`steer git create`")
    with progress() as report:
        async with opened_here(tools, report) as here:
            folder = here.store.path.parent
            depot = Depot(folder / FOLDER, os.environ)
            url = str(depot.path(app))
            wanted = App.model_validate(_manifest(app, url, ref, routes))
            known = (await here.memory.apps()).get(app)
            if known is not None:
                _check_known(known, url)
            made = await depot.create(app, ref)
            click.echo(f"repository {url} {'created' if made else 'unchanged'}")
            if known is None:
                await _remember(here, wanted)
            click.echo(_next_steps(app, ref, read_config(folder / FILE).git))


def _manifest(app: str, url: str, ref: str, routes: tuple[str, ...]) -> dict[str, Any]:
    spec: dict[str, Any] = {"source": {"git": {"url": url, "ref": ref}}}
    pairs = [route.partition("/") for route in routes]
    spec["routes"] = [
        {"host": host, "path": f"{slash}{path}" or "/", "process": "web"}
        for host, slash, path in pairs
    ]
    return {
        "apiVersion": "steersman/v1",
        "kind": "App",
        "metadata": {"name": app},
        "spec": spec,
    }


def _check_known(app: "App", url: str) -> None:
    source = app.spec.source
    if source.git is None or source.git.url != url:
        raise SourceElsewhere(
            f"app {app.name} is deployed from elsewhere; apply it with"
            f" spec.source.git.url: {url} to deploy what is pushed"
        )


async def _remember(here: "Here", app: "App") -> None:
    """Remember an app that has nothing to run yet: the first push brings it to its hosts."""
    await here.controller.admit([app])
    await here.controller.remember(app)


def _next_steps(app: str, ref: str, git: "Git | None") -> str:
    if git is None:
        return (
            "git push is not served yet: say `git: {listen: …, keys: …}` in serve.yaml and start"
            " `steer serve`; then, in your working copy:\n"
            f"  git remote add steer ssh://git@HOST:PORT/{app}\n  git push steer {ref}"
        )
    address = git.address or f"{git.place[0] or 'HOST'}:{git.place[1]}"
    return (
        "in your working copy:\n"
        f"  git remote add steer ssh://git@{address}/{app}\n  git push steer {ref}"
    )
