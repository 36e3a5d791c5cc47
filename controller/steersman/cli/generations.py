"""What `get generations` lists, asked of the hosts just now."""

from __future__ import annotations

from typing import Any

import click

from steersman.cli.app import Tools
from steersman.cli.context import opened
from steersman.cli.text import printable


async def read_generations(tools: Tools, app: str | None) -> list[dict[str, Any]]:
    """Return what `get generations` lists; hosts that say nothing are told of on stderr."""
    async with opened(tools) as work:
        found, silent = await work.looks.generations(app)
    for host, why in silent.items():
        click.echo(f"host {host}: not known: {printable(why)}", err=True)
    return found
