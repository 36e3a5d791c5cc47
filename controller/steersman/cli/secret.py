"""steer secret: values that are safe to commit, sealed to keys that only some have."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.kinds import kind_named
from steersman.cli.options import common
from steersman.cli.text import printable

F = TypeVar("F", bound=Callable[..., Any])


class Piped(SteersmanError):
    """Secrets are about to go somewhere else than to a person's eyes."""

    def __init__(self) -> None:
        super().__init__(
            "standard output is no terminal, and secrets would stay wherever it leads;"
            " add --piped if that is meant"
        )


@click.group()
def secret() -> None:
    """Seal secrets so that they can be committed, show them, and change who can open them.

    \b
      steer secret keygen                 steer secret seal -f shop.yaml
      steer secret reveal -f shop.yaml    steer secret rotate -f shop.yaml --new-key
    """


def _identity(command: F) -> F:
    return click.option(
        "-i",
        "--identity",
        "key_file",
        type=click.Path(dir_okay=False, path_type=Path),
        expose_value=False,
        callback=_set_key_file,
        help="The file of private keys [default: $STEER_AGE_KEY_FILE, or age.key in the state].",
    )(command)


def _set_key_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        ctx.obj.key_file = value.absolute()


def _files(*, required: bool) -> Callable[[F], F]:
    path = click.Path(exists=True, dir_okay=False, path_type=Path)
    return click.option(
        "-f", "--filename", "files", type=path, multiple=True, required=required, metavar="FILE",
        help="A manifest with Secrets; may be repeated.",
    )  # fmt: skip


def _changes(command: F) -> F:
    chosen = click.option(
        "--set", "new", multiple=True, metavar="KEY",
        help="Ask for this key's value, or read it from standard input; may be repeated.",
    )  # fmt: skip
    name = click.option(
        "--secret", "name", metavar="NAME", help="Whose key --set means, in a file of several."
    )
    added = click.option(
        "-r", "--recipient", "added", multiple=True, metavar="KEY",
        help="Who can open it too: age1... or the text of an ssh-ed25519 .pub file.",
    )  # fmt: skip
    return chosen(name(added(command)))


@secret.command()
@_identity
@common
@click.pass_obj
def keygen(tools: Tools) -> None:
    """Make this controller's key unless there is one, and print its recipient.

    The recipient is public: commit it. Whoever has it can seal secrets for this controller. Keep a
    copy of the key file somewhere safe: without it, what was sealed is lost.

    \b
      steer secret keygen
      steer secret keygen -i /etc/steersman/age.key
    """
    keys = tools.keyring()
    if keys.make():
        click.echo(f"made {keys.path}; keep a copy of it somewhere safe", err=True)
    click.echo(keys.recipient())


@secret.command()
@_files(required=True)
@_changes
@click.option("--all", "everything", is_flag=True, help="Seal what files and commands give, too.")
@_identity
@common
@click.pass_obj
def seal(
    tools: Tools,
    files: tuple[Path, ...],
    new: tuple[str, ...],
    name: str | None,
    added: tuple[str, ...],
    everything: bool,
) -> None:
    """Replace each plain `value` in Secrets by its sealed form, and leave the rest of the file.

    It is sealed to the Secret's spec.recipients; where there are none, to those named with -r, or
    to the controller's own key, which is made when it is first needed. In a context of a daemon
    that is the daemon's: it tells its public key, and no value leaves this machine unsealed.

    What was ever committed in clear stays readable in the history: change what it opens.

    \b
      steer secret seal -f shop.yaml
      steer secret seal -f shop.yaml --set DATABASE_URL
      pass show shop/db | steer secret seal -f shop.yaml --set DATABASE_URL
      steer secret seal -f shop.yaml -r "$(cat ~/.ssh/id_ed25519.pub)" -r age1...
    """
    from steersman.cli.secret_files import seal_file

    values = {key: _asked(key) for key in new}
    for file in files:
        told = asyncio.run(seal_file(tools, file, name, values, added, is_all=everything))
        click.echo(printable(told), nl=False)


@secret.command()
@_files(required=False)
@_changes
@click.option(
    "--without", multiple=True, metavar="KEY", help="Who can open it no longer; may be repeated."
)
@click.option(
    "--new-key", is_flag=True, help="Make a new key for this controller, in the old one's place."
)
@_identity
@common
@click.pass_obj
def rotate(
    tools: Tools,
    files: tuple[Path, ...],
    new: tuple[str, ...],
    name: str | None,
    added: tuple[str, ...],
    without: tuple[str, ...],
    new_key: bool,
) -> None:
    """Seal every sealed value anew: to other recipients, to a new key, or with another value.

    Values stay as they are but for those of --set, and no app gets a new release of that. Who
    could open a value once still knows it: change what it opens, too.

    \b
      steer secret rotate -f shop.yaml -r age1... --without age1...
      steer secret rotate -f shop.yaml -f blog.yaml --new-key
      steer secret rotate -f shop.yaml --set DATABASE_URL
    """
    from steersman.cli.secret_files import rotate_files

    if not files and not new_key:
        raise click.UsageError("name the manifests to seal anew with -f")

    values = {key: _asked(key) for key in new}
    told = asyncio.run(rotate_files(tools, files, name, values, added, without, is_new=new_key))
    click.echo(printable(told), nl=False)


@secret.command()
@click.argument("words", nargs=-1, metavar="[secret/NAME] [KEY]...")
@click.option(
    "-f", "--filename", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE", help="A manifest to read, instead of what this controller keeps.",
)  # fmt: skip
@click.option("--secret", "name", metavar="NAME", help="Which one, in a file of several.")
@click.option("--piped", is_flag=True, help="Print it although nobody looks at it.")
@_identity
@common
@click.pass_obj
def reveal(
    tools: Tools, words: tuple[str, ...], file: Path | None, name: str | None, piped: bool
) -> None:
    """Print the values of a Secret: as a manifest has them, or as the controller keeps them.

    One KEY prints its bare value; none or several print KEY=value lines. Only a terminal is
    written to, unless --piped says otherwise.

    \b
      steer secret reveal -f shop.yaml
      steer secret reveal secret/shop
      steer secret reveal secret/shop DATABASE_URL --piped | psql
    """
    from steersman.cli.secret_files import values_in, values_kept

    if not piped and not sys.stdout.isatty():
        raise Piped
    if file is None and not words:
        raise click.UsageError("name a file with -f, or a Secret as secret/NAME")
    if file is None:
        found, keys = asyncio.run(values_kept(tools, _name_of(words[0]))), words[1:]
    else:
        found, keys = asyncio.run(values_in(tools, file, name)), words
    _print(found, keys)


def _print(found: dict[str, str], keys: Sequence[str]) -> None:
    for key in keys:
        if key not in found:
            raise SteersmanError(f"there is no key {key}; there are {', '.join(sorted(found))}")
    show = printable if sys.stdout.isatty() else str
    if len(keys) == 1:
        click.echo(show(found[keys[0]]))
        return
    for key in keys or sorted(found):
        click.echo(show(f"{key}={found[key]}"))


def _name_of(word: str) -> str:
    kind, slash, name = word.rpartition("/")
    if slash and kind_named(kind).kind != "Secret":
        raise click.UsageError(f"{word!r} is no secret; write secret/NAME")
    return name


def _asked(key: str) -> str:
    """Return a value from a hidden prompt, or a line of standard input; never from an argument."""
    if os.isatty(sys.stdin.fileno()):
        return str(click.prompt(f"Value of {key}", hide_input=True, confirmation_prompt=True))
    line = sys.stdin.buffer.readline()
    if not line:
        raise SteersmanError(f"there is no line for {key} on standard input; write its value there")
    return line.decode("utf-8", "replace").rstrip("\r\n")
