"""$STEER_EXTERNAL_DIFF: another program shows how objects would change."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from steersman.api.errors import SteersmanError
from steersman.cli.documents import write_documents
from steersman.control.changes import ObjectChange

VARIABLE = "STEER_EXTERNAL_DIFF"


class DiffFailed(SteersmanError):
    """The program did not show a difference."""

    def __init__(self, program: str, why: str) -> None:
        super().__init__(
            f"the diff program {program!r} {why}; it should take two folders and exit with 0 or 1:"
            f" set ${VARIABLE} to another, as to 'diff -ru', or unset it"
        )


def program() -> str | None:
    """Return the program that somebody wants to see differences with."""
    return os.environ.get(VARIABLE) or None


def show(program: str, changes: Sequence[ObjectChange]) -> None:
    """Have a program compare two folders, of objects as they are and as they would be."""
    if not changes:
        return
    with tempfile.TemporaryDirectory(prefix="steer-diff-") as top:
        now, applied = Path(top, "NOW"), Path(top, "APPLIED")
        for folder in (now, applied):
            folder.mkdir()
        for change in changes:
            name = f"{change.key.replace('/', '.')}.yaml"
            (applied / name).write_text(write_documents([change.after], "yaml"))
            if change.before is not None:
                (now / name).write_text(write_documents([change.before], "yaml"))
        sys.stdout.flush()
        try:
            argv = [*shlex.split(program), str(now), str(applied)]
            code = subprocess.run(argv, check=False).returncode
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise DiffFailed(program, f"cannot be run: {why}") from error
    if code not in (0, 1):
        raise DiffFailed(program, f"ended with {code}")
