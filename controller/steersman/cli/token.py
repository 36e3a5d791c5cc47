"""steer token: who else may speak to the daemon, and what they may do."""

import asyncio
from typing import TYPE_CHECKING, Any

import click

from steersman.cli.app import Tools
from steersman.cli.options import common

if TYPE_CHECKING:
    from steersman.client.api import Api


@click.group()
def token() -> None:
    """Make, list and revoke the tokens by which others speak to a daemon.

    \b
      steer token create ci --scope deploy:shop
      steer token list
      steer token revoke ci
    """


@token.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, metavar="SCOPE",
    help="read, deploy:APP or admin; may be repeated.",
)  # fmt: skip
@click.option("--expires", metavar="DURATION", help="How long it is valid [default: for ever].")
@common
@click.pass_obj
def create(tools: Tools, name: str, scopes: tuple[str, ...], expires: str | None) -> None:
    """Make a token and print it: once, for only a digest of it is kept.

    `deploy:APP` changes, rolls out and looks into one app, and sees nothing of others' secrets and
    logs. It may build, and what a build runs, runs as the daemon's user.

    \b
      steer token create ci --scope deploy:shop --expires 90d
      steer token create dashboard --scope read
    """
    from steersman.api.quantities import parse_duration

    seconds = round(parse_duration(expires)) if expires is not None else None
    made = asyncio.run(_asked(tools, "POST", "/tokens", _given(name, scopes, seconds)))
    click.echo(made["token"])


def _given(name: str, scopes: tuple[str, ...], seconds: int | None) -> dict[str, Any]:
    lifetime = {"seconds": seconds} if seconds is not None else {}
    return {"name": name, "scopes": list(scopes), **lifetime}


@token.command("list")
@common
@click.pass_obj
def list_(tools: Tools) -> None:
    """List the tokens; none of them is shown.

    \b
      steer token list
    """
    from steersman.cli.tables import table

    items = asyncio.run(_asked(tools, "GET", "/tokens"))["items"]
    rows = [["NAME", "ID", "SCOPES", "CREATED", "EXPIRES"]]
    for each in items:
        scopes, expires = " ".join(each["scopes"]), each["expires"] or "<never>"
        rows.append([each["name"], each["id"], scopes, each["created"], expires])
    click.echo(table(rows), nl=False)


@token.command()
@click.argument("name")
@common
@click.pass_obj
def revoke(tools: Tools, name: str) -> None:
    """Forget a token: from now on, whoever has it is refused.

    \b
      steer token revoke ci
    """
    from steersman.client.paths import path_of

    asyncio.run(_asked(tools, "DELETE", path_of("Token", name)))
    click.echo(f"token/{name} revoked")


async def _asked(tools: Tools, method: str, path: str, data: Any = None) -> Any:
    from steersman.cli.daemon import daemon_of

    api: Api
    async with daemon_of(tools) as api:
        return await api.json(method, path, data=data)
