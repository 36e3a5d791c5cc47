"""What `exec` and `run` share: where a program runs, and how it ended."""

from collections.abc import Awaitable

import click

from steersman.cli.text import printable
from steersman.transport.errors import HandError

# What shells exit with, by the hand's word for it.
_CODES = {"missing-program": 127, "command-failed": 126}


async def exit_code_of(running: Awaitable[int]) -> int:
    """Return the exit code of a program, or what a shell exits with if it cannot be run."""
    try:
        return await running
    except HandError as error:
        if error.kind not in _CODES:
            raise
        click.echo(f"error: {printable(str(error))}", err=True)
        return _CODES[error.kind]
