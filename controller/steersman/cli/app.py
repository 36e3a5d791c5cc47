"""The steer command: the one place where the parts of the product are put together."""

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

import click

from steersman.cli.failures import exit_code, report
from steersman.cli.verbs import SECTIONS, VERBS

# Whatever a verb needs is imported when it is made: `steer --help` pays for nothing.
if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from steersman.client.contexts import Context
    from steersman.sealing.keyring import Keyring
    from steersman.store.protocol import Store
    from steersman.store.sqlite import SqliteStore

COMPLETE = "_STEER_COMPLETE"
GARBAGE = 50_000
"""New objects after which Python looks for garbage; its own default is 700."""


class Tools:
    """What verbs work with (`@click.pass_obj`), made to the options that all of them share."""

    def __init__(self) -> None:
        self.state_dir: Path | None = None
        self.key_file: Path | None = None
        self.context: str | None = None
        """Which daemon to speak to: a context's name, or `local` for none."""
        self.is_debugging = bool(os.environ.get("STEER_DEBUG"))
        self.patience: float | None = None
        """Seconds to wait for another steer; None is the usual time."""
        self.failure_code = 1
        """What an error exits with: `diff` has another meaning for 1."""

    @property
    def folder(self) -> Path:
        """The folder of this machine's own store."""
        from steersman.store.paths import state_dir

        return self.state_dir if self.state_dir is not None else state_dir()

    def daemon(self) -> "Context | None":
        """Return the daemon that does the work, None if it is done in this process."""
        from steersman.client.contexts import chosen

        return chosen(self.context, self.folder, is_folder_named=self.state_dir is not None)

    def store(self) -> "AbstractAsyncContextManager[Store]":
        """Return the store (the daemon's, if there is one), to be opened by `async with`."""
        context = self.daemon()
        if context is None:
            return self.own_store()
        from steersman.cli.context import store_of

        return store_of(self, context)

    def own_store(self) -> "SqliteStore":
        """Return the store of this machine, to be opened by `async with`."""
        from steersman.store.sqlite import SqliteStore

        return SqliteStore(self.state_dir)

    def keyring(self) -> "Keyring":
        """Return the private keys: $STEER_AGE_KEY_FILE, or the file beside the store."""
        from steersman.sealing.keyring import KEY_FILE, Keyring

        named = self.key_file or os.environ.get("STEER_AGE_KEY_FILE")
        return Keyring(Path(named) if named else self.folder / KEY_FILE)


class Steer(click.Group):
    """A group that imports a verb only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name].target.partition(":")
        return cast(click.Command, getattr(importlib.import_module(module), name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-"):
            from steersman.cli.plugins import become

            become(args)
            raise click.UsageError(f"there is no verb {args[0]!r}{_meant(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, VERBS))
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(width), verb.summary) for name, verb in verbs.items()]
                )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        from steersman.cli.plugins import known

        summaries = {name: verb.summary for name, verb in VERBS.items()}
        for plugin in known():
            summaries.setdefault(plugin.words[0], "A plugin")
        return [
            CompletionItem(name, help=summary)
            for name, summary in summaries.items()
            if name.startswith(incomplete)
        ]


def _meant(word: str) -> str:
    import difflib

    close = difflib.get_close_matches(word, VERBS, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from steersman.cli.version import own_version

        click.echo(f"steersman {own_version()}")
        ctx.exit()


@click.group(
    cls=Steer,
    subcommand_metavar="VERB ...",
    options_metavar="[--version]",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`steer VERB --help` tells more about one; options go after the verb.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Print the version.",
)  # fmt: skip
@click.pass_context
def steer(ctx: click.Context) -> None:
    """Deploy twelve-factor apps to plain Linux hosts, and keep them as you declared them."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code; what went wrong is on stderr."""
    tools = Tools()
    try:
        with steer.make_context("steer", list(args), obj=tools) as context:
            steer.invoke(context)
        sys.stdout.flush()
    except Exception as error:
        report(error, tools.is_debugging)
        return exit_code(error, tools.failure_code)
    except KeyboardInterrupt:
        click.echo(err=True)
        return 130
    return 0


def main() -> NoReturn:
    """What the `steer` script calls."""
    # Starting makes very many objects that stay: looking through them again and again for garbage
    # takes a tenth of it.
    gc.set_threshold(GARBAGE)
    if COMPLETE in os.environ:
        steer.main(prog_name="steer", complete_var=COMPLETE, obj=Tools())
    code = run(sys.argv[1:])
    if code == 141:
        # Nobody reads any more: keep the interpreter from trying once again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
