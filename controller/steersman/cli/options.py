"""Options that verbs share, and how they are spelled everywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from steersman.cli.outputs import Format, FormatType

F = TypeVar("F", bound=Callable[..., Any])


def common(command: F) -> F:
    """--context, --state-dir and --debug, which change the Tools that the verb is given."""
    context = click.option(
        "--context",
        metavar="NAME",
        expose_value=False,
        callback=_set_context,
        help="The daemon to speak to, as `steer config get-contexts` has it; local is none.",
    )
    state = click.option(
        "--state-dir",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="STEER_STATE_DIR",
        expose_value=False,
        callback=_set_state_dir,
        help="Where objects are remembered [default: $XDG_STATE_HOME/steersman].",
    )
    debug = click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_set_debug,
        help="Show tracebacks of errors.",
    )
    return context(state(debug(command)))


def filename(*, required: bool) -> Callable[[F], F]:
    """-f FILE… and -R: manifests as `filenames: tuple[str, ...]` and `recursive: bool`."""

    def decorate(command: F) -> F:
        files = click.option(
            "-f",
            "--filename",
            "filenames",
            multiple=True,
            required=required,
            metavar="FILE",
            help="A manifest, a folder of them, or - for standard input; may be repeated.",
        )
        deeper = click.option(
            "-R", "--recursive", is_flag=True, help="Read the folders inside folders too."
        )
        return files(deeper(command))

    return decorate


def output(*choices: str) -> Callable[[F], F]:
    """-o FORMAT, one of `choices`, as `output: str | None`."""
    return click.option("-o", "--output", type=click.Choice(choices), help="How to print it.")


def formatted(command: F) -> F:
    """-o FORMAT as `output: Format`, and with it what concerns printing many objects."""
    return click.option(
        "-o",
        "--output",
        type=FormatType(),
        default=Format(),
        help="wide, json, yaml, name, jsonpath=…, jsonpath-as-json=… or custom-columns=….",
    )(command)


def selector(command: F) -> F:
    """-l SELECTOR as `selector: str | None`."""
    return click.option(
        "-l",
        "--selector",
        metavar="LABELS",
        callback=lambda ctx, param, value: value and value.removeprefix("="),
        help="Only objects with these labels: role=web, role!=web, 'role in (web, api)', role.",
    )(command)


def _set_state_dir(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    # Completing knows only the words before: they say whom to ask for names.
    if value is not None and ctx.obj is not None:
        ctx.obj.state_dir = value.absolute()


def _set_context(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and ctx.obj is not None:
        ctx.obj.context = value


def _set_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.obj.is_debugging = True


def field_selector(command: F) -> F:
    """--field-selector as `field_selector: str | None`."""
    return click.option(
        "--field-selector",
        metavar="FIELDS",
        help="Only objects with these values: metadata.name=shop, status.state!=deployed.",
    )(command)
