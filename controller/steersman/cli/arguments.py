"""Arguments and options of the verbs that work on hosts."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from steersman.cli.kinds import Reference, complete_objects, kind_named

F = TypeVar("F", bound=Callable[..., Any])


def app_of(word: str) -> str:
    """Return the name in `app/shop`, or in `shop` alone: some verbs know no other kind."""
    return _name_of(word, "App")


def _name_of(word: str, wanted: str) -> str:
    kind, slash, name = word.partition("/")
    if not slash:
        return word
    if kind_named(kind).kind != wanted or not name:
        key = wanted.lower()
        raise click.UsageError(f"{word!r} is no {key}; write {key}/NAME")
    return name


def app_name(command: F) -> F:
    """The app to work on, as `app: str`."""
    return click.argument(
        "app",
        metavar="app/NAME",
        callback=lambda ctx, param, value: app_of(value),
        shell_complete=complete_objects,
    )(command)


def job_name(command: F) -> F:
    """The job to work on, as `job: str`."""
    return click.argument(
        "job",
        metavar="job/NAME",
        callback=lambda ctx, param, value: _name_of(value, "Job"),
        shell_complete=complete_objects,
    )(command)


def app_or_job(command: F) -> F:
    """The app or job to look at, as `what: tuple[str, str]`: its kind and name."""

    def read(word: str) -> tuple[str, str]:
        kind, slash, name = word.partition("/")
        if slash and name and kind_named(kind).kind == "Job":
            return "Job", name
        return "App", app_of(word)

    return click.argument(
        "what",
        metavar="app/NAME|job/NAME",
        callback=lambda ctx, param, value: read(value),
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
