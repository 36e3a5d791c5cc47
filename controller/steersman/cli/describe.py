"""steer describe: all that is known of an object, and how its processes are just now."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import named
from steersman.cli.kinds import complete_objects, references
from steersman.cli.options import common

if TYPE_CHECKING:
    from steersman.cli.context import Work

EVENTS = 10


@click.command()
@click.argument(
    "what", nargs=-1, required=True, metavar="KIND/NAME...", shell_complete=complete_objects
)
@common
@click.pass_obj
def describe(tools: Tools, what: tuple[str, ...]) -> None:
    """Show all that is known of objects: conditions, releases, processes, routes, last events.

    Hosts are asked how things are just now; those that are slow are left out.

    \b
      steer describe app/shop          steer describe host/h1
      steer describe release/shop-3    steer describe secret shop
      steer describe job/backup        steer describe repository/fleet
      steer describe error/1f2e3d4c5b6a
    """
    wanted = named(references(what))
    for kind, _ in wanted:
        if kind in ("Event", "Generation"):
            shown = f"{kind.lower()}s"
            raise click.UsageError(f"`steer get {shown}` shows all there is of {shown}")
    asyncio.run(_describe(tools, wanted))


async def _describe(tools: Tools, wanted: Sequence[tuple[str, str]]) -> None:
    from steersman.api.errors import SteersmanError
    from steersman.cli.context import opened

    faults: list[SteersmanError] = []
    async with opened(tools) as work:
        for number, (kind, name) in enumerate(wanted):
            try:
                text = await _text(work, kind, name)
            except SteersmanError as error:
                faults.append(error)
                continue
            click.echo(("\n" if number else "") + text, nl=False)
    if faults:
        raise ExceptionGroup("not described", faults)


async def _text(work: "Work", kind: str, name: str) -> str:
    from steersman.cli.describe_app import describe_app
    from steersman.cli.describe_error import describe_error
    from steersman.cli.describe_job import describe_job
    from steersman.cli.describe_others import (
        describe_host,
        describe_installation,
        describe_release,
        describe_secret,
    )
    from steersman.cli.describe_plugin import describe_plugin
    from steersman.cli.describe_repository import describe_repository
    from steersman.cli.sections import events_section

    now = datetime.now(UTC)
    if kind == "Error":
        return await describe_error(work, name, now)
    describers = {
        "App": describe_app,
        "Host": describe_host,
        "Secret": describe_secret,
        "Job": describe_job,
        "Repository": describe_repository,
        "Plugin": describe_plugin,
        "Release": describe_release,
        "Installation": describe_installation,
    }
    text = await describers[kind](work, name, now)
    return text + events_section(await work.store.events(kind, name, EVENTS), now)
