"""steer schema: what manifests may say, for editors."""

import click

from steersman.cli.kinds import complete_kinds, kind_named
from steersman.cli.options import common


@click.command()
@click.argument("kind", required=False, shell_complete=complete_kinds)
@common
def schema(kind: str | None) -> None:
    """Print the JSON Schema of KIND, or of everything that a manifest may hold.

    Save it and name it in a manifest's first line, and editors check and complete what you write:

    \b
      steer schema > steersman.schema.json
      # yaml-language-server: $schema=steersman.schema.json
    """
    from steersman.cli.documents import write_documents
    from steersman.manifests.schema import json_schema

    wanted = json_schema(kind_named(kind).kind if kind is not None else None)
    click.echo(write_documents([wanted], "json"), nl=False)
