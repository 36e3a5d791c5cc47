"""steer run: a one-off program in an app's environment, with this terminal or these pipes."""

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import app_name, process
from steersman.cli.options import common
from steersman.cli.text import printable

if TYPE_CHECKING:
    from steersman.cli.context import Work
    from steersman.control.programs import Program, Wish


@click.command("run")
@app_name
@click.argument("argv", nargs=-1, required=True, metavar="-- COMMAND...", type=click.UNPROCESSED)
@process("Add the variables of this process, too.")
@click.option(
    "--host", metavar="HOST", help="The host to run it on [default: the first to answer]."
)
@click.option(
    "-i/ ", "--stdin/--no-stdin", "has_input", default=True,
    help="Whether the program reads what steer is given [default: --stdin].",
)  # fmt: skip
@click.option(
    "-t/-T", "--tty/--no-tty", "is_terminal", default=None,
    help="Whether it has a terminal [default: if steer's input and output are one].",
)  # fmt: skip
@common
@click.pass_obj
def run(
    tools: Tools,
    app: str,
    argv: tuple[str, ...],
    process: str | None,
    host: str | None,
    has_input: bool,
    is_terminal: bool | None,
) -> None:
    """Run a program by hand, on one host, as an app's user and in the release that serves.

    On a terminal it is as if it ran here: Ctrl-C, Ctrl-D, job control and the window's size reach
    it. In a pipe, bytes go through unchanged and its errors stay apart. Its exit code becomes that
    of steer, and if steer or the link ends, the host ends the program and all that it started.

    \b
      steer run app/shop -- python manage.py shell
      steer run app/shop --host h2 -- bash
      steer run app/shop -- sh -c 'pg_dump $DATABASE_URL' > shop.sql
    """
    is_one = sys.stdin.isatty() and sys.stdout.isatty()
    if is_terminal and not is_one:
        raise click.UsageError("-t needs a terminal as steer's input and output; leave it out")
    has_terminal = is_one and has_input if is_terminal is None else is_terminal
    code = asyncio.run(_run(tools, app, argv, process, host, has_input, has_terminal))
    raise click.exceptions.Exit(code)


async def _run(
    tools: Tools,
    app: str,
    argv: tuple[str, ...],
    process: str | None,
    host: str | None,
    has_input: bool,
    has_terminal: bool,
) -> int:
    from steersman.cli.context import opened
    from steersman.cli.programs import exit_code_of
    from steersman.cli.terminal import converse, this_terminal
    from steersman.control.places import hosts_of, known_process
    from steersman.control.programs import Wish

    async with opened(tools) as work:
        target = await work.memory.app(app)
        names = await hosts_of(work.memory, target, host)
        if process is not None:
            await known_process(work.memory, target, process)
        wish = Wish(argv, process, has_input, this_terminal() if has_terminal else None)
        program = await _first(work, app, names, wish)
        return await exit_code_of(converse(program, wish))


async def _first(work: "Work", app: str, names: list[str], wish: "Wish") -> "Program":
    """Return a program on the first host that answers; say which did not, raise if none does."""
    from steersman.api.errors import SteersmanError
    from steersman.control.programs import NotRunning

    for name in names[:-1]:
        try:
            return await work.looks.program(app, name, wish)
        except NotRunning:
            raise
        except SteersmanError as error:
            click.echo(f"warning: {printable(str(error))}; trying the next", err=True)
    return await work.looks.program(app, names[-1], wish)
