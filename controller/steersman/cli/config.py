"""steer config: which daemons there are, and which one verbs speak to."""

from dataclasses import replace
from pathlib import Path
from typing import TextIO

import click

from steersman.cli.app import Tools
from steersman.cli.options import common


@click.group()
def config() -> None:
    """Say which daemon verbs speak to: one on this machine, by TLS, or through SSH.

    Without a context, a daemon that runs on this machine for you does the work, and if there is
    none, each steer does it itself.

    \b
      steer config set-context prod --server https://deploy.example.com:6443 --token-file t
      steer config set-context ops --server ssh://root@ops.example.com
      steer config use-context prod        steer config get-contexts
    """


@config.command("get-contexts")
@common
@click.pass_obj
def get_contexts(tools: Tools) -> None:
    """List the contexts; the star is at the current one.

    \b
      steer config get-contexts
    """
    from steersman.cli.tables import table
    from steersman.client.contexts import LOCAL, read_contexts

    contexts = read_contexts()
    rows = [["CURRENT", "NAME", "SERVER", "TOKEN"]]
    mark = {contexts.current: "*"}
    rows.append([mark.get(LOCAL, ""), LOCAL, "<none: all is done by steer itself>", ""])
    for each in contexts.known.values():
        has_token = "yes" if each.token is not None else "no"
        rows.append([mark.get(each.name, ""), each.name, each.server, has_token])
    click.echo(table(rows), nl=False)


@config.command("use-context")
@click.argument("name")
@common
@click.pass_obj
def use_context(tools: Tools, name: str) -> None:
    """Let verbs speak to this daemon from now on; `local` is none.

    \b
      steer config use-context prod
    """
    from steersman.client.contexts import LOCAL, read_contexts, write_contexts

    contexts = read_contexts()
    if name != LOCAL:
        contexts.named(name)
    write_contexts(replace(contexts, current=name))
    click.echo(f'Switched to context "{name}".')


@config.command("set-context")
@click.argument("name")
@click.option("--server", metavar="URL", help="https://HOST:PORT, ssh://USER@HOST, unix:///PATH.")
@click.option(
    "--certificate-authority", "ca", metavar="FILE", help="Certificates to trust, as PEM.",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)  # fmt: skip
@click.option("--fingerprint", metavar="SHA256", help="Trust this one certificate: sha256:...")
@click.option(
    "--token-file", "token_file", metavar="FILE", help="Where the token is; - is standard input.",
    type=click.File("r"),
)  # fmt: skip
@common
@click.pass_obj
def set_context(
    tools: Tools,
    name: str,
    server: str | None,
    ca: Path | None,
    fingerprint: str | None,
    token_file: TextIO | None,
) -> None:
    """Remember how a daemon is reached, or change that; what is not named stays.

    The token is read from a file: arguments are seen by everybody on this machine.

    \b
      steer config set-context prod --server https://deploy.example.com:6443 \\
        --certificate-authority ca.pem --token-file token
      pass show prod/steer | steer config set-context prod --token-file -
    """
    from steersman.client.contexts import Context, checked, read_contexts, write_contexts

    contexts = read_contexts()
    known = contexts.known.get(name)
    if known is None and server is None:
        raise click.UsageError(f"context {name} is new; say where its daemon is with --server")
    given = {
        "server": server,
        "ca": str(ca.absolute()) if ca is not None else None,
        "fingerprint": fingerprint.lower().replace(" ", "") if fingerprint is not None else None,
        "token": token_file.read().strip() if token_file is not None else None,
    }
    before = known if known is not None else Context(name, server or "")
    changes = {key: value for key, value in given.items() if value is not None}
    if known is not None and server is not None and server != known.server:
        # A token is for the server that it was given for, and no other.
        changes.setdefault("token", "")
    made = checked(replace(before, **changes))
    made = made if made.token else replace(made, token=None)
    path = write_contexts(replace(contexts, known={**contexts.known, name: made}))
    done = "modified" if known is not None else "created"
    click.echo(f'Context "{name}" {done} ({path}).')
