"""steer patch: change fields of an object without an editor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.kinds import complete_objects, references
from steersman.cli.modify import Document, How, run_change
from steersman.cli.options import common

MAX_BYTES = 1024 * 1024


class NotPatched(SteersmanError):
    """A patch that cannot be read, or is for something else."""


@click.command()
@click.argument(
    "what", nargs=-1, required=True, metavar="KIND/NAME", shell_complete=complete_objects
)
@click.option("-p", "--patch", metavar="PATCH", help="The patch, as JSON or YAML.")
@click.option("--patch-file", metavar="FILE", help="A file with it, - for standard input.")
@click.option(
    "--type", "type_", type=click.Choice(["merge", "json"]), default="merge", show_default=True,
    help="merge: what is given is set, null removes (RFC 7386); json: a list of operations"
    " (RFC 6902).",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@common
@click.pass_obj
def patch(
    tools: Tools,
    what: tuple[str, ...],
    patch: str | None,
    patch_file: str | None,
    type_: str,
    dry_run: bool,
) -> None:
    """Change fields of objects; a changed app is rolled out as `steer apply` does.

    \b
      steer patch app/shop -p '{"spec": {"history": 5}}'
      steer patch app shop -p 'spec: {processes: {web: {count: 3}}}'
      steer patch app/shop --type=json -p '[{"op": "remove", "path": "/spec/routes/1"}]'
      steer patch host/h1 --patch-file cordon.yaml
    """
    if (patch is None) == (patch_file is None):
        raise click.UsageError("give the patch by -p PATCH, or by --patch-file FILE")
    wanted = references(what)
    given = _read(patch if patch is not None else _text_of(str(patch_file)))

    def changed(document: Document) -> Document:
        from steersman.server.patches import merged, patched

        result = merged(document, given) if type_ == "merge" else patched(document, given)
        if not isinstance(result, dict):
            raise NotPatched("the patch makes of the object something that is none; patch fields")
        return result

    run_change(
        tools, wanted, changed, How("steer-patch", "patched", "patched (no change)", dry_run)
    )


def _text_of(name: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise NotPatched(f"patch file {name}: {why}; name a file of JSON or YAML") from error


def _read(text: str) -> Any:
    """Return what JSON or YAML says; raises NotPatched with the place of a fault."""
    from steersman.api.refusal import Path as Place
    from steersman.api.refusal import Refused
    from steersman.manifests.problem import Mark
    from steersman.manifests.tree import Unreadable, data_of, read_trees

    faults: list[str] = []

    def complain(mark: Mark, path: Place, refused: Refused) -> None:
        faults.append(f"line {mark.line}, column {mark.column}: {refused}")

    if len(text) > MAX_BYTES:
        raise NotPatched("the patch is longer than 1 MiB; apply a manifest instead")
    try:
        found = [data_of(tree) for tree in read_trees(text, complain)]
    except Unreadable:
        found = []
    if faults:
        raise NotPatched(f"the patch cannot be read: {'; '.join(faults)}")
    if len(found) != 1:
        raise NotPatched(
            "the patch says nothing, or more than one thing; write one mapping or list"
        )
    return found[0]
