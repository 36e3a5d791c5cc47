"""From an exception to what a person reads and a script sees."""

import sys
import traceback
from pathlib import Path

import click

from steersman.api.errors import SteersmanError
from steersman.cli.text import is_colourful, printable

_BROKEN_PIPE = 141  # 128 + SIGPIPE, as for a program that the signal ended


def exit_code(error: BaseException, failure: int = 1) -> int:
    """Return 2 for wrong usage, 141 when nobody reads, `failure` for what else went wrong."""
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.UsageError():
            return 2
        case click.Abort():
            return 130
        case BrokenPipeError():
            return _BROKEN_PIPE
        case _:
            return failure


def report(error: BaseException, is_debugging: bool) -> None:
    """Say on stderr what went wrong, with the traceback when debugging."""
    if isinstance(error, click.exceptions.Exit | BrokenPipeError):
        return
    if is_debugging and not isinstance(error, click.ClickException):
        # Only the frames and messages: locals may hold secrets.
        click.echo(printable("".join(traceback.format_exception(error))), err=True)
    for line in _sentences(error):
        prefix = click.style("error:", fg="red", bold=True)
        click.echo(f"{prefix} {line}", err=True, color=is_colourful(sys.stderr))


def _sentences(error: BaseException) -> list[str]:
    match error:
        case BaseExceptionGroup():
            return list(
                dict.fromkeys(line for each in error.exceptions for line in _sentences(each))
            )
        case SteersmanError():
            return [printable(str(error))]
        case click.UsageError():
            command = error.ctx.command_path if error.ctx is not None else "steer"
            return [f"{error.format_message()}\nsee `{command} --help`"]
        case click.ClickException():
            return [error.format_message()]
        case click.Abort():
            return ["interrupted"]
        case _:
            return [_unexpected(error)]


def _unexpected(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    what = printable(f"{type(error).__name__}: {error}".removesuffix(": "))
    return (
        f"unexpected {what}{place}; this is a bug in steersman: "
        "--debug or STEER_DEBUG=1 shows the traceback for the report"
    )
