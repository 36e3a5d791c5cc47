"""What `exec` and `run` share: a program's environment, and how it ended."""

from collections.abc import Awaitable, Sequence
from typing import Any

import click

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.cli.text import printable
from steersman.control.hosts import HostLink
from steersman.drivers.systemd import one_off
from steersman.transport.errors import HandError

# What shells exit with, by the hand's word for it.
_CODES = {"missing-program": 127, "command-failed": 126}


class NotRunning(SteersmanError):
    """There is no release to run something in."""


async def arguments(
    link: HostLink, app: App, argv: Sequence[str], process: str | None
) -> dict[str, Any]:
    """Return what the hand is told to run `argv` in the release that serves on its host."""
    seen = (await link.observe()).app(app.name)
    number, release = seen.current_number, (seen.current or "").rpartition("/")[2]
    if number is None:
        raise NotRunning(f"app {app.name} has no release on host {link.name}; apply it there first")
    names = [str(number), f"{number}.{process}"]
    return {
        "argv": list(argv),
        "app": app.name,
        "release": release,
        "envs": [name for name in names if name in seen.envs],
        "user": app.user,
        "sandbox": one_off(link.layout, app.name),
    }


async def exit_code_of(running: Awaitable[int]) -> int:
    """Return the exit code of a program, or what a shell exits with if it cannot be run."""
    try:
        return await running
    except HandError as error:
        if error.kind not in _CODES:
            raise
        click.echo(f"error: {printable(str(error))}", err=True)
        return _CODES[error.kind]
