"""steer demo: a whole deploy on this machine, as yourself, measured."""

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.options import common
from steersman.cli.text import is_colourful, one_line, printable
from steersman.control.report import Silent

if TYPE_CHECKING:
    from steersman.embedded.demo import Finding
    from steersman.embedded.host import EmbeddedHost
    from steersman.planning.steps import Step

PORTS = click.IntRange(1, 65535)


class DemoFailed(SteersmanError):
    """Something that the demo promises did not come true."""


@click.command()
@click.option("--port", type=PORTS, help="Where its proxy listens [default: a free port].")
@click.option("--once", is_flag=True, help="End when everything was shown, on a terminal too.")
@common
@click.pass_obj
def demo(tools: Tools, port: int | None, once: bool) -> None:
    """Show a whole deploy on this machine, as yourself, measured.

    \b
    Makes a host of an SSH server, Supervisor and Caddy in a private folder, deploys an app
    from a git repository, pushes a commit, kills a process and rolls back, all under load.
    On a terminal it then stays up until Ctrl-C. Nothing is left of it. The exit code is 0
    only if each part was measured to work.
    """
    # Sockets have short paths: the folder lies where temporary files do.
    with tempfile.TemporaryDirectory(prefix="steer-demo-", ignore_cleanup_errors=True) as folder:
        tools.state_dir = Path(folder, "state")
        stays = sys.stdout.isatty() and not once
        asyncio.run(_demo(tools, Path(folder).resolve(), port, stays=stays))


async def _demo(tools: Tools, folder: Path, port: int | None, *, stays: bool) -> None:
    from steersman.cli.context import configure_logs, opened_here
    from steersman.embedded.demo import Demo
    from steersman.embedded.host import embedded_host

    _end_on_sigterm()
    configure_logs(is_verbose=False, is_debugging=tools.is_debugging)
    with _doing() as doing:
        async with (
            embedded_host(folder / "host", name="demo", port=port) as host,
            opened_here(tools, doing, cache=folder / "cache") as work,
        ):
            doing.say(_heading(folder))
            demo = Demo(work.controller, host, folder)
            number = 0
            async with contextlib.aclosing(demo.findings()) as findings:
                async for finding in findings:
                    number += 1
                    doing.say(_shown(number, finding))
            if not finding.is_good:
                raise DemoFailed(
                    f"the demo's part {number} ({finding.title}) did not work, see above;"
                    " `STEER_DEBUG=1 steer demo` tells more"
                )
            doing.say(_ending(host))
            if stays:
                doing.show(f"{host.url} stays up until Ctrl-C")
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()


def _end_on_sigterm() -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


class Doing(Protocol):
    """Where the demo says what was found, and shows what it does right now."""

    def say(self, text: str) -> None: ...

    def show(self, text: str) -> None: ...


def _heading(folder: Path) -> str:
    return f"A host made of an SSH server, Supervisor and Caddy, all of it in {folder}\n"


def _shown(number: int, finding: "Finding") -> str:
    mark = "ok" if finding.is_good else "FAILED"
    title = f"{number}. {finding.title}"
    return printable("\n".join([f"{title:<15}{mark}", *(f"   {line}" for line in finding.lines)]))


def _ending(host: "EmbeddedHost") -> str:
    return f"\nAll of this was measured from outside, at {host.url}."


class _Lines(Silent):
    """Says findings as plain lines, and nothing in between."""

    def say(self, text: str) -> None:
        click.echo(text)
        sys.stdout.flush()

    def show(self, text: str) -> None: ...


@contextmanager
def _doing() -> "Iterator[_Lines]":
    if not sys.stdout.isatty() or not is_colourful(sys.stdout):
        yield _Lines()
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    with console.status("making the host") as status:

        class OnTerminal(_Lines):
            """The same, above a line that tells what is being done."""

            def say(self, text: str) -> None:
                console.print(text, soft_wrap=True)

            def show(self, text: str) -> None:
                status.update(one_line(text))

            def said(self, subject: str, text: str) -> None:
                self.show(f"{subject}: {text}")

            def step_began(self, host: str, app: str, step: "Step", number: int, of: int) -> None:
                self.show(f"{host}: {number}/{of} {step.text}")

        yield OnTerminal()
