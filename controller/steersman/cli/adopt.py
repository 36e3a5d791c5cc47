"""steer adopt: know apps and releases again from what hosts hold, when the state is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.kinds import complete_objects, references
from steersman.cli.options import common, filename

if TYPE_CHECKING:
    from steersman.cli.context import Work
    from steersman.control.adopt import Adopted


@click.command()
@click.argument("what", nargs=-1, metavar="[host/NAME]...", shell_complete=complete_objects)
@filename(required=False)
@click.option("--all", "is_all", is_flag=True, help="Ask every host that is known.")
@common
@click.pass_obj
def adopt(
    tools: Tools, what: tuple[str, ...], filenames: tuple[str, ...], recursive: bool, is_all: bool
) -> None:
    """Know apps, their releases and numbers again from what hosts hold; nothing there is changed.

    For when the state is lost. Hosts are given by their manifests. An adopted app is left alone
    until its own manifest is applied, which finds nothing to do if nothing has changed.

    \b
      steer adopt -f hosts.yaml && steer apply -f manifests/
      steer adopt --all               steer adopt host/h1 host/h2
    """
    wanted = references(what) if what else []
    if any(each.kind.kind != "Host" or each.name is None for each in wanted):
        raise click.UsageError("apps are adopted from hosts; write host/NAME, -f or --all")
    if bool(wanted) + bool(filenames) + is_all != 1:
        raise click.UsageError("from which hosts? host/NAME, their manifests with -f, or --all")
    names = [each.name for each in wanted if each.name is not None]
    adopted = asyncio.run(_adopt(tools, names, filenames, recursive))
    _tell(adopted)
    if adopted.errors:
        raise ExceptionGroup("not adopted", list(adopted.errors))


async def _adopt(
    tools: Tools, names: list[str], filenames: tuple[str, ...], recursive: bool
) -> Adopted:
    from steersman.cli.context import opened

    async with opened(tools) as work:
        if filenames:
            names = await _remember_hosts(work, filenames, recursive)
        for name in names:
            await work.memory.host(name)
        return await work.controller.adoption.adopt(names or [*await work.memory.hosts()])


async def _remember_hosts(work: Work, filenames: tuple[str, ...], recursive: bool) -> list[str]:
    """Remember the Hosts of manifests, and nothing else in them; return their names."""
    from steersman.cli.apply import read

    sourced = [each for each in read(filenames, recursive).objects if each.obj.kind == "Host"]
    if not sourced:
        raise SteersmanError("the manifests hold no Host; name those of the hosts to adopt from")
    await work.controller.apply(sourced)
    return [each.obj.name for each in sourced]


def _tell(adopted: Adopted) -> None:
    counts = Counter(release.spec.app for release in adopted.releases)
    for app in adopted.apps:
        count = counts[app.name]
        click.echo(
            f"app/{app.name} adopted: {count} release{'' if count == 1 else 's'},"
            f" on {', '.join(app.status.hosts)}"
        )
    if adopted.apps:
        secrets = sorted({name for app in adopted.apps for name in app.spec.config.secrets})
        also = f", and those of secrets {', '.join(secrets)}" if secrets else ""
        click.echo(f"apply their manifests next{also}: until then they are left alone", err=True)
    elif not adopted.errors:
        click.echo("no apps found that are not known", err=True)
