"""steer auth: what the daemon would let you do."""

import asyncio

import click

from steersman.cli.app import Tools
from steersman.cli.kinds import kind_named
from steersman.cli.options import common


@click.group()
def auth() -> None:
    """Ask what you may do.

    \b
      steer auth can-i rollout app/shop
      steer auth whoami
    """


@auth.command("can-i")
@click.argument("verb")
@click.argument("what", metavar="KIND[/NAME]")
@common
@click.pass_obj
def can_i(tools: Tools, verb: str, what: str) -> None:
    """Say yes or no, and exit 0 or 1: whether you may do VERB to an object.

    Verbs are get, list, watch, create, update, patch, delete, rollout, scale, diff, run, logs,
    exec, cordon, check and trust.

    \b
      steer auth can-i logs app/shop
      steer auth can-i delete hosts
    """
    word, _, name = what.partition("/")
    kind = "Token" if word.lower() in ("token", "tokens") else kind_named(word).kind
    is_allowed = asyncio.run(_can_i(tools, verb, kind, name))
    click.echo("yes" if is_allowed else "no")
    raise click.exceptions.Exit(0 if is_allowed else 1)


@auth.command()
@common
@click.pass_obj
def whoami(tools: Tools) -> None:
    """Print who you are to the daemon, and your scopes.

    \b
      steer auth whoami
    """
    from steersman.cli.text import printable

    name, scopes = asyncio.run(_whoami(tools))
    click.echo(printable(f"{name}: {' '.join(scopes)}"))


async def _can_i(tools: Tools, verb: str, kind: str, name: str) -> bool:
    from steersman.cli.daemon import daemon_of

    if tools.daemon() is None:
        return True  # whoever can read the state may do everything to it
    async with daemon_of(tools) as api:
        params = {"verb": verb, "kind": kind, **({"name": name} if name else {})}
        return bool((await api.json("GET", "/can-i", params=params))["allowed"])


async def _whoami(tools: Tools) -> tuple[str, list[str]]:
    from steersman.cli.daemon import daemon_of

    if tools.daemon() is None:
        from steersman.control.session import whoever

        return whoever(), ["admin"]
    async with daemon_of(tools) as api:
        found = await api.json("GET", "/whoami")
        return found["name"], found["scopes"]
