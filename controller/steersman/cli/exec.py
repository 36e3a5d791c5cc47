"""steer exec: a command in an app's environment, on its hosts."""

import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import app_name, process
from steersman.cli.options import common

if TYPE_CHECKING:
    from steersman.cli.context import Work


@click.command("exec", context_settings={"ignore_unknown_options": False})
@app_name
@click.argument("argv", nargs=-1, required=True, metavar="-- COMMAND...", type=click.UNPROCESSED)
@process("Add the variables of this process, too.")
@click.option("--host", metavar="HOST", help="The host to run it on [default: the app's first].")
@click.option("--all-hosts", is_flag=True, help="Run it on every host of the app at once.")
@common
@click.pass_obj
def exec_(
    tools: Tools,
    app: str,
    argv: tuple[str, ...],
    process: str | None,
    host: str | None,
    all_hosts: bool,
) -> None:
    """Run a command as an app's user, in the environment of the release that serves.

    Its output comes as it is written, and its exit code becomes that of steer. No shell reads the
    command: for one, run ["sh", "-c", "..."] yourself.

    \b
      steer exec app/shop -- python manage.py check
      steer exec app/shop -p worker --host h2 -- env
      steer exec app/shop -- sh -c 'ls $HOME'
    """
    if host is not None and all_hosts:
        raise click.UsageError("--host names one host and --all-hosts means every one")
    raise click.exceptions.Exit(asyncio.run(_exec(tools, app, argv, process, host, all_hosts)))


async def _exec(
    tools: Tools,
    app: str,
    argv: tuple[str, ...],
    process: str | None,
    host: str | None,
    is_everywhere: bool,
) -> int:
    from steersman.cli.context import opened
    from steersman.cli.programs import exit_code_of
    from steersman.control.places import hosts_of, known_process

    async with opened(tools) as work:
        target = await work.memory.app(app)
        names = await hosts_of(work.memory, target, host)
        if process is not None:
            await known_process(work.memory, target, process)
        chosen = names if is_everywhere else names[:1]
        runs = [_run(work, app, name, argv, process, len(chosen) > 1) for name in chosen]
        return max(await asyncio.gather(*map(exit_code_of, runs)))


async def _run(
    work: "Work",
    app: str,
    name: str,
    argv: tuple[str, ...],
    process: str | None,
    is_labelled: bool,
) -> int:
    from steersman.control.programs import Wish

    program = await work.looks.program(app, name, Wish(argv, process))
    label = f"{name} | ".encode() if is_labelled else b""
    sinks = {fd: _Labelled(fd, label) if label else _Plain(fd) for fd in (1, 2)}
    code = 1
    async with aclosing(program.said()) as said:
        async for each in said:
            sinks[each.fd].write(each.data)
            code = each.code if each.code is not None else code
    for sink in sinks.values():
        sink.end()
    return code


class _Plain:
    """Bytes as they are: the output may be a dump that somebody pipes into a file."""

    def __init__(self, fd: int) -> None:
        self._buffer = (sys.stderr if fd == 2 else sys.stdout).buffer

    def write(self, data: bytes) -> None:
        self._buffer.write(data)
        self._buffer.flush()

    def end(self) -> None: ...


class _Labelled(_Plain):
    """Whole lines behind a label, so that hosts do not write into each other's."""

    def __init__(self, fd: int, label: bytes) -> None:
        super().__init__(fd)
        self._label = label
        self._partial = b""

    def write(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        super().write(b"".join(self._label + line + b"\n" for line in lines))

    def end(self) -> None:
        if self._partial:
            self.write(b"\n")
