"""Arguments and options of the verbs that work on hosts."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from steersman.cli.kinds import Reference, complete_objects, kind_named

F = TypeVar("F", bound=Callable[..., Any])


def app_of(word: str) -> str:
    """Return the name in `app/shop`, or in `shop` alone: some verbs know no other kind."""
    kind, slash, name = word.partition("/")
    if not slash:
        return word
    if kind_named(kind).kind != "App" or not name:
        raise click.UsageError(f"{word!r} is no app; write app/NAME")
    return name


def app_name(command: F) -> F:
    """The app to work on, as `app: str`."""
    return click.argument(
        "app",
        metavar="app/NAME",
        callback=lambda ctx, param, value: app_of(value),
        shell_complete=complete_objects,
    )(command)


def process(help_: str) -> Callable[[F], F]:
    """-p PROCESS as `process: str | None`."""
    return click.option("-p", "--process", metavar="PROCESS", help=help_)


def verbose(command: F) -> F:
    """-v as `verbose: bool`."""
    return click.option(
        "-v", "--verbose", is_flag=True, help="Print each step, in lines instead of a table."
    )(command)


def lock_timeout(command: F) -> F:
    """--lock-timeout, which changes the Tools that the verb is given."""
    return click.option(
        "--lock-timeout",
        metavar="DURATION",
        expose_value=False,
        callback=_set_patience,
        help="How long to wait while another steer works on the same [default: 10m].",
    )(command)


def _set_patience(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    from steersman.api.quantities import parse_duration
    from steersman.api.refusal import Refused

    if value is not None and not ctx.resilient_parsing:
        try:
            ctx.obj.patience = parse_duration(value)
        except Refused as refused:
            raise click.BadParameter(str(refused)) from refused


def named(references: list[Reference]) -> list[tuple[str, str]]:
    """Return (kind, name) of each reference; raises UsageError where a name is missing."""
    for each in references:
        if each.name is None:
            raise click.UsageError(f"which {each.kind.singular}? write {each.kind.singular}/NAME")
    return [(each.kind.kind, each.name) for each in references if each.name is not None]
