"""steer edit: change an object in an editor."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.arguments import verbose
from steersman.cli.kinds import Reference, complete_objects, references
from steersman.cli.modify import (
    Document,
    How,
    NotValid,
    Target,
    manifest_of,
    modify,
    read_manifest,
    targets_of,
    tell,
)
from steersman.cli.options import common
from steersman.store.errors import NotStored

HOW = How("steer-edit", "edited")
EDITORS = ("STEER_EDITOR", "VISUAL", "EDITOR")
HEAD = """\
# Please edit the object below. Lines beginning with a '#' will be ignored, and an empty file will
# abort the edit. If an error occurs while saving, this file will be opened again with the reasons.
#
"""


class EditorFailed(SteersmanError):
    """The editor did not end well, so nothing was changed."""

    def __init__(self, editor: str, why: str, file: Path) -> None:
        super().__init__(
            f"the editor {editor!r} {why}; nothing was changed, the text is in {file}:"
            " name another editor by $STEER_EDITOR, $VISUAL or $EDITOR"
        )


class NotSaved(SteersmanError):
    """The text was left as it could not be saved before."""

    def __init__(self, why: str, file: Path) -> None:
        super().__init__(
            f"{why}\nEdit cancelled, no valid changes were saved.\n"
            f"A copy of your changes has been stored to {file}"
        )


@click.command()
@click.argument(
    "what", nargs=-1, required=True, metavar="KIND/NAME...", shell_complete=complete_objects
)
@verbose
@common
@click.pass_obj
def edit(tools: Tools, what: tuple[str, ...], verbose: bool) -> None:
    """Change objects in $STEER_EDITOR, $VISUAL or $EDITOR; vi if none is set.

    What cannot be saved is opened again with the reasons. A changed app is rolled out as
    `steer apply` does; its manifest, applied again, sets back what it says otherwise.

    \b
      steer edit app/shop             steer edit host h1
      STEER_EDITOR='code --wait' steer edit app/shop
    """
    for each in references(what):
        _edit(tools, each, is_verbose=verbose)


def _edit(tools: Tools, wanted: Reference, *, is_verbose: bool) -> None:
    """Have one object edited until it is saved or given up; raises NotSaved, EditorFailed."""
    from steersman.cli.documents import write_documents

    target, document = asyncio.run(_read(tools, wanted))
    # Nobody else may read it: what is typed in may be a secret.
    folder = Path(tempfile.mkdtemp(prefix="steer-edit-"))
    file = folder / f"{target.kind.lower()}-{target.name}.yaml"
    text, why = write_documents([document], "yaml"), ""
    while True:
        file.write_text(HEAD + _commented(why) + text)
        _run_editor(file)
        left = _uncommented(file.read_text())
        if why and left == text:
            raise NotSaved(why, file)
        text = left
        try:
            said = _finish(tools, target, document, text, is_verbose=is_verbose)
        except _Refused as refused:
            why = refused.why
            continue
        shutil.rmtree(folder)
        if said:
            click.echo(said)
        return


class _Refused(Exception):
    """A text was not saved; nothing was changed."""

    def __init__(self, error: SteersmanError) -> None:
        super().__init__()
        self.why = str(error)
        if isinstance(error, NotValid):
            # Lines are counted as they will be in the editor, below all that is said.
            above = (HEAD + _commented(self.why)).count("\n")
            self.why = str(error.below(above))


async def _read(tools: Tools, wanted: Reference) -> tuple[Target, Document]:
    from steersman.cli.context import opened

    async with opened(tools) as work:
        (target,) = await targets_of(work, [wanted], None, is_all=False)
        stored = await work.store.get(target.kind, target.name)
    if stored is None:
        raise NotStored(target.kind, target.name)
    return target, manifest_of(stored.object)


def _finish(
    tools: Tools, target: Target, document: Document, text: str, *, is_verbose: bool
) -> str:
    """Save a text, or return why there is nothing to save; raises _Refused."""
    from steersman.manifests.tree import data_of

    if not text.strip():
        return "Edit cancelled, saved file was empty."
    try:
        edited: Any = data_of(read_manifest(text, target.key).root)
    except SteersmanError as error:
        raise _Refused(error) from error
    if edited == document:
        return "Edit cancelled, no changes made."
    asyncio.run(_save(tools, target, document, edited, is_verbose=is_verbose))
    return ""


async def _save(
    tools: Tools, target: Target, document: Document, edited: Document, *, is_verbose: bool
) -> None:
    from steersman.cli.context import opened
    from steersman.cli.progress import progress
    from steersman.server.patches import merged

    def change(now: Document) -> Document:
        # What others changed while the editor was open stays, but for what was edited.
        changed: Document = merged(now, patch_between(document, edited))
        return changed

    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            try:
                results, done = await modify(work, [target], change, HOW)
            except SteersmanError as error:
                raise _Refused(error) from error
            result = results[target]
            if isinstance(result, SteersmanError):
                raise _Refused(result) from result
    tell(results, done, report, HOW)


def patch_between(old: Document, new: Document) -> Document:
    """Return the merge patch (RFC 7386) that makes `new` of `old`."""
    patch: Document = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            inner = patch_between(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or before != value or type(before) is not type(value):
            patch[key] = value
    return patch


def _run_editor(file: Path) -> None:
    editor = next((os.environ[name] for name in EDITORS if os.environ.get(name)), "vi")
    try:
        argv = shlex.split(editor)
        code = subprocess.run([*argv, str(file)], check=False).returncode
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise EditorFailed(editor, f"cannot be run: {why}", file) from error
    if code != 0:
        raise EditorFailed(editor, f"ended with {code}", file)


def _commented(why: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in why.splitlines()) + ("#\n" * bool(why))


def _uncommented(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if line[:1] != "#")
