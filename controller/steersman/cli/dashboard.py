"""steer dashboard: the daemon's page, in a browser on this machine."""

import asyncio
import secrets
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.options import common

if TYPE_CHECKING:
    from steersman.client.contexts import Context


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On this one; 0: any.")
@click.option("--open/--no-open", "is_opened", default=True, help="Open a browser at it.")
@common
@click.pass_obj
def dashboard(tools: Tools, port: int, is_opened: bool) -> None:
    """Show apps, hosts, rollouts, errors and logs in a browser, until Ctrl-C.

    The page is read-only and comes from this machine; what it shows comes from the daemon of the
    context, by its Unix socket, TLS or ssh. Whoever has the printed link sees it, from this
    machine only. A daemon that listens on TCP shows the same page at https://…/dashboard/, to
    whoever brings a token.

    \b
      steer dashboard                            of the daemon here
      steer dashboard --context prod --no-open   of another; print the link only
    """
    context = tools.daemon()
    if context is None:
        raise click.ClickException(
            "no daemon answers: start one (`steer serve`), or name one with --context"
        )
    asyncio.run(_serve(tools, context, port, is_opened=is_opened))


async def _serve(tools: Tools, context: "Context", port: int, *, is_opened: bool) -> None:
    from steersman.cli.mirror import mirror
    from steersman.client.work import reached
    from steersman.control.report import Silent
    from steersman.server.listen import listening_here

    key = secrets.token_urlsafe(24)
    trusted = tools.folder / "known_hosts"
    async with reached(context, Silent(), trust_files=(trusted,)) as (api, _):
        await api.json("GET", "/whoami")
        async with listening_here(mirror(api, key), port) as taken:
            link = f"http://127.0.0.1:{taken}/dashboard/#token={key}"
            click.echo(f"{link}\nShown until Ctrl-C.")
            with tempfile.TemporaryDirectory(prefix="steer-") as folder:
                if is_opened:
                    await asyncio.to_thread(_open, link, Path(folder) / "dashboard.html")
                await asyncio.Event().wait()


def _open(link: str, page: Path) -> None:
    """Open a browser at a private page that leads on: every user can read a browser's arguments."""
    page.write_text(f'<meta http-equiv="refresh" content="0; url={link}">')
    webbrowser.open(page.as_uri())
