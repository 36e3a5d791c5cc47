"""steer plugin: which programs on PATH add verbs."""

import click

from steersman.api.errors import SteersmanError
from steersman.cli.options import common
from steersman.cli.plugins import Plugin, known
from steersman.cli.verbs import VERBS


@click.group()
def plugin() -> None:
    """Programs named steer-… on PATH add verbs: steer-foo is `steer foo`.

    A dash in a word is an underscore in the file's name: `steer foo-bar` is steer-foo_bar. No
    plugin takes the place of a verb of steer's own.

    \b
      steer plugin list
      steer plugin list --name-only
    """


@plugin.command("list")
@click.option("--name-only", is_flag=True, help="Print the names of the files without folders.")
@common
def list_(name_only: bool) -> None:
    """List plugins, and warn of those that nothing calls; exits 1 if there is one.

    \b
      steer plugin list
      steer plugin list --name-only
    """
    found = [*known()]
    if not found:
        raise SteersmanError(
            "there are no plugins on PATH; a program named steer-foo in one of its folders would"
            " be `steer foo`"
        )
    click.echo("The following plugins are available:\n")
    warnings = 0
    first: dict[str, Plugin] = {}
    for each in found:
        click.echo(each.name if name_only else each.path)
        for why in _faults(each, first.setdefault(each.name, each)):
            warnings += 1
            click.echo(f"  - warning: {why}", err=True)
    if warnings:
        count = "one warning" if warnings == 1 else f"{warnings} warnings"
        raise SteersmanError(f"{count} of plugins; rename, remove or `chmod +x` those named above")


def _faults(each: Plugin, first: Plugin) -> list[str]:
    faults = []
    if each.words[0] in VERBS:
        faults.append(f"{each.path} is hidden by the verb `steer {each.words[0]}`")
    if first is not each:
        faults.append(f"{each.path} is hidden by {first.path}, which comes first on PATH")
    if not each.is_executable:
        faults.append(f"{each.path} is not executable")
    return faults
