"""steer plugin: what ships signals elsewhere, and which programs on PATH add verbs."""

import asyncio
from typing import TYPE_CHECKING

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.kinds import complete_named
from steersman.cli.options import common
from steersman.cli.plugins import Plugin, known
from steersman.cli.verbs import VERBS

if TYPE_CHECKING:
    from steersman.control.plugins import PluginType, Probed


@click.group()
def plugin() -> None:
    """Plugins of two sorts: what ships signals elsewhere, and programs that add verbs.

    Objects of kind Plugin say which errors, metrics, logs and events are shipped where, by one of
    the types that are installed.

    Programs named steer-... on PATH add verbs: steer-foo is `steer foo`. A dash in a word is an
    underscore in the file's name: `steer foo-bar` is steer-foo_bar. None takes the place of a verb
    of steer's own.

    \b
      steer plugin list
      steer plugin test sentry
    """


@plugin.command("list")
@click.option("--name-only", is_flag=True, help="Print the names of programs, without folders.")
@common
@click.pass_obj
def list_(tools: Tools, name_only: bool) -> None:
    """List types of plugins, and programs that are verbs; exits 1 if nothing calls one of these.

    `steer get plugins` lists the objects that use a type.

    \b
      steer plugin list
      steer plugin list --name-only
    """
    if not name_only:
        types, used = asyncio.run(_types(tools))
        click.echo(_table(types, used))
    _list_programs(is_short=name_only)


def _list_programs(*, is_short: bool) -> None:
    found = [*known()]
    if not found:
        click.echo("No program on PATH adds a verb; one named steer-foo would be `steer foo`.")
        return
    click.echo("The following plugins are available:\n")
    warnings = 0
    first: dict[str, Plugin] = {}
    for each in found:
        click.echo(each.name if is_short else each.path)
        for why in _faults(each, first.setdefault(each.name, each)):
            warnings += 1
            click.echo(f"  - warning: {why}", err=True)
    if warnings:
        count = "one warning" if warnings == 1 else f"{warnings} warnings"
        raise SteersmanError(f"{count} of plugins; rename, remove or `chmod +x` those named above")


async def _types(tools: Tools) -> tuple[list["PluginType"], dict[str, list[str]]]:
    """Return the types there are, and the objects that use each."""
    from steersman.cli.context import opened

    used: dict[str, list[str]] = {}
    async with opened(tools) as work:
        for each in await work.store.list("Plugin"):
            used.setdefault(each.spec["type"], []).append(each.name)
        return await work.looks.plugin_types(), used


def _table(types: list["PluginType"], used: dict[str, list[str]]) -> str:
    from steersman.cli.tables import table

    rows = [["TYPE", "SHIPS", "USED BY", "FROM", "WHAT IT IS"]]
    for each in types:
        ships, what = ",".join(each.takes) or "-", each.fault or each.summary
        names = ",".join(used.get(each.type, ())) or "-"
        rows.append([each.type, ships, names, each.distribution, what])
    return table(rows)


@plugin.command("test")
@click.argument("name", metavar="[plugin/]NAME", shell_complete=complete_named("Plugin"))
@common
@click.pass_obj
def test(tools: Tools, name: str) -> None:
    """Ship a probe of each kind that a plugin takes, now, and say what the other side answered.

    The probes are real and are seen there, as of the app steersman-probe. Exits 1 if one of them
    did not arrive.

    \b
      steer plugin test sentry       steer plugin test plugin/metrics
    """
    name = name.removeprefix("plugin/")
    probed = asyncio.run(_probed(tools, name))
    failed = [each for each in probed if each.error]
    for each in probed:
        took = f"{each.seconds * 1000:.0f} ms"
        click.echo(f"{each.signal}: {each.error or f'shipped in {took}'}")
    if failed:
        raise SteersmanError(
            f"{len(failed)} of {len(probed)} probes of plugin {name} did not arrive, see above"
        )


async def _probed(tools: Tools, name: str) -> list["Probed"]:
    from steersman.cli.context import opened

    async with opened(tools) as work:
        return await work.looks.probe(name)


def _faults(each: Plugin, first: Plugin) -> list[str]:
    faults = []
    if each.words[0] in VERBS:
        faults.append(f"{each.path} is hidden by the verb `steer {each.words[0]}`")
    if first is not each:
        faults.append(f"{each.path} is hidden by {first.path}, which comes first on PATH")
    if not each.is_executable:
        faults.append(f"{each.path} is not executable")
    return faults
