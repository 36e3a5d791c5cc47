"""steer host: whether hosts have what is needed, which keys are theirs, and what may run there."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.arguments import verbose
from steersman.cli.kinds import complete_objects, kind_named
from steersman.cli.options import common, filename

if TYPE_CHECKING:
    from steersman.api.host import Host
    from steersman.cli.context import Work

F = TypeVar("F", bound=Callable[..., Any])


def one_host(command: F) -> F:
    """The host to work on, as `name: str`."""
    return click.argument(
        "name",
        metavar="NAME",
        callback=lambda ctx, param, value: host_of(value),
        shell_complete=complete_objects,
    )(command)


@click.group()
def host() -> None:
    """Check hosts, trust their keys, and keep apps off them.

    \b
      steer host check            steer host check h1
      steer host trust h1         steer host trust h1 -f hosts.yaml
      steer host drain h1         steer host uncordon h1
    """


@host.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_objects)
@filename(required=False)
@common
@click.pass_obj
def check(
    tools: Tools, names: tuple[str, ...], filenames: tuple[str, ...], recursive: bool
) -> None:
    """Connect to hosts and list what they have and lack, with the fix for each lack.

    Without names, every host is checked. Exits 1 when something lacks that is needed.

    \b
      steer host check
      steer host check h1 h2
      steer host check -f hosts.yaml
    """
    asyncio.run(_check(tools, _given(filenames, recursive), [host_of(name) for name in names]))


@host.command()
@click.argument("name", metavar="NAME", shell_complete=complete_objects)
@filename(required=False)
@click.option("--accept", metavar="SHA256:...", help="Trust the key of this fingerprint unasked.")
@click.option("--replace", is_flag=True, help="Forget the keys trusted so far: it was made anew.")
@common
@click.pass_obj
def trust(
    tools: Tools,
    name: str,
    filenames: tuple[str, ...],
    recursive: bool,
    accept: str | None,
    replace: bool,
) -> None:
    """Show the keys of a host, and pin them once you have compared them.

    On the host, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints what to compare with.

    \b
      steer host trust h1
      steer host trust h1 -f hosts.yaml --accept SHA256:8Zp0...
      steer host trust h1 --replace
    """
    given = _given(filenames, recursive)
    asyncio.run(_trust(tools, given, host_of(name), accept, replace))


@host.command()
@one_host
@common
@click.pass_obj
def cordon(tools: Tools, name: str) -> None:
    """Let nothing new come to a host; what it runs stays, and goes on being updated.

    A manifest that does not say `cordoned` leaves it so.

    \b
      steer host cordon h1
    """
    from steersman.cli.cordon import cordon_host

    asyncio.run(cordon_host(tools, name))


@host.command()
@one_host
@verbose
@common
@click.pass_obj
def uncordon(tools: Tools, name: str, verbose: bool) -> None:
    """Let apps come to a host again, and bring back those that belong there.

    \b
      steer host uncordon h1
    """
    from steersman.cli.cordon import uncordon_host

    asyncio.run(uncordon_host(tools, name, is_verbose=verbose))


@host.command()
@one_host
@click.option("--force", is_flag=True, help="Stop also what has nowhere else to go.")
@click.option("--timeout", metavar="DURATION", help="Give up after this long, such as 5m.")
@verbose
@common
@click.pass_obj
def drain(tools: Tools, name: str, force: bool, timeout: str | None, verbose: bool) -> None:
    """Bring what runs on a host elsewhere, then stop it there, and let nothing come back.

    Replicas serve on other hosts before this one stops any. Nothing is changed when an app has
    nowhere else to go. `steer host uncordon` brings back what left, but not what an app had kept
    in its folder here.

    \b
      steer host drain h1
      steer host drain h1 --timeout=10m
      steer host drain h1 --force
    """
    from steersman.cli.cordon import drain_host

    work = drain_host(tools, name, is_forced=force, timeout=timeout, is_verbose=verbose)
    asyncio.run(work)


def host_of(word: str) -> str:
    """Return the name in `h1` or `host/h1`."""
    kind, slash, name = word.rpartition("/")
    if slash and kind_named(kind).kind != "Host":
        raise click.UsageError(f"{word!r} is no host; write host/NAME")
    return name


def _given(filenames: tuple[str, ...], recursive: bool) -> "dict[str, Host]":
    """Return the Hosts of manifests: they need not be applied yet."""
    if not filenames:
        return {}
    from steersman.api.host import Host
    from steersman.cli.apply import read

    objects = [each.obj for each in read(filenames, recursive).objects]
    return {each.name: each for each in objects if isinstance(each, Host)}


async def _hosts(work: "Work", given: "dict[str, Host]", names: Sequence[str]) -> "dict[str, Host]":
    """Return every Host that is known or given; raises when a named one is not among them."""
    hosts = {**await work.memory.hosts(), **given}
    for name in names:
        if name not in hosts:
            raise SteersmanError(
                f"host {name} is not known; name its manifest with -f,"
                " or `steer get hosts` lists those that are"
            )
    return hosts


async def _check(tools: Tools, given: "dict[str, Host]", names: Sequence[str]) -> None:
    from steersman.cli.checklist import lines_of
    from steersman.cli.context import opened

    async with opened(tools) as work:
        hosts = await _hosts(work, given, names)
        chosen = list(names) or list(given) or sorted(hosts)
        if not chosen:
            raise SteersmanError("no host is known; name a manifest with -f, or apply one")
        results = await work.looks.check(given, chosen)
    is_plain = "utf" not in (sys.stdout.encoding or "").lower()
    for name, findings in results.items():
        click.echo(f"host/{name}")
        for line in lines_of(findings, is_plain=is_plain):
            click.echo(line)
    if any(finding.is_fatal for findings in results.values() for finding in findings):
        raise click.exceptions.Exit(1)


async def _trust(
    tools: Tools, given: "dict[str, Host]", name: str, accept: str | None, replace: bool
) -> None:
    from steersman.cli.context import opened
    from steersman.cli.trust import choose_keys, print_keys

    async with opened(tools) as work:
        hosts = await _hosts(work, given, [name])
        shown = await work.looks.host_keys(given, name)
        print_keys(hosts[name], shown.keys)
        chosen = choose_keys(hosts[name], shown, accept=accept, is_replacing=replace)
        if chosen:
            lines = [key.line for key in chosen]
            where = await work.looks.trust(given, name, lines, is_replacing=replace)
            click.echo(f"host/{name} trusted ({where})")
