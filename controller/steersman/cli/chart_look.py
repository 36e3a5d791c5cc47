"""steer chart list and history."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.options import common, output
from steersman.cli.tables import NONE, table

if TYPE_CHECKING:
    from steersman.api.installation import ChartVersion, Installation


@click.command(name="list")
@click.option("-a", "--all", "shows_all", is_flag=True, help="Those that are uninstalled, too.")
@output("json", "yaml")
@common
@click.pass_obj
def list_(tools: Tools, shows_all: bool, output: str | None) -> None:
    """List what charts installed, each with its newest revision.

    \b
      steer chart list                   steer chart list --all
    """
    newest = asyncio.run(_newest(tools))
    shown = [each for each in newest if shows_all or each.status.state != "uninstalled"]
    _print(shown, [_LIST, *map(_list_row, shown)], output)


@click.command()
@click.argument("name", metavar="NAME")
@output("json", "yaml")
@common
@click.pass_obj
def history(tools: Tools, name: str, output: str | None) -> None:
    """List the revisions of an installation, the newest last.

    \b
      steer chart history shop           steer chart history shop -o yaml
    """
    revisions = asyncio.run(_history(tools, name))
    _print(revisions, [_HISTORY, *map(_history_row, revisions)], output)


async def _newest(tools: Tools) -> "list[Installation]":
    from steersman.cli.context import opened
    from steersman.control.installations import Installations

    async with opened(tools) as work:
        return await Installations(work.store).newest()


async def _history(tools: Tools, name: str) -> "list[Installation]":
    from steersman.cli.context import opened
    from steersman.control.installations import Installations, NotInstalled

    async with opened(tools) as work:
        revisions = await Installations(work.store).history(name)
    if not revisions:
        raise NotInstalled(name)
    return revisions


_LIST = ["NAME", "REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION"]
_HISTORY = ["REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION", "DESCRIPTION"]


def _list_row(one: "Installation") -> list[str]:
    spec, status = one.spec, one.status
    version = spec.chart.app_version or NONE
    number = str(spec.revision)
    return [
        spec.installation, number, _updated(one), status.state, chart_of(spec.chart), version
    ]  # fmt: skip


def _history_row(one: "Installation") -> list[str]:
    spec, status = one.spec, one.status
    lines = status.message.splitlines() if status.state == "failed" else []
    version, said = spec.chart.app_version or NONE, lines[0] if lines else spec.description
    return [str(spec.revision), _updated(one), status.state, chart_of(spec.chart), version, said]


def chart_of(chart: "ChartVersion") -> str:
    return f"{chart.name}-{chart.version}"


def _updated(one: "Installation") -> str:
    updated = one.status.updated
    return updated.strftime("%Y-%m-%d %H:%M:%S UTC") if updated is not None else NONE


def _print(
    found: "Sequence[Installation]", rows: Sequence[Sequence[str]], output: str | None
) -> None:
    if output is None:
        click.echo(table(rows), nl=False)
        return
    from steersman.api.objects import dump_object
    from steersman.cli.documents import write_documents

    documents = [dump_object(each) for each in found]
    click.echo(write_documents(documents, output, as_list=True), nl=False)
