"""What applying would change of the objects themselves, as small unified diffs of YAML."""

import difflib
from typing import Any

from steersman.cli.documents import write_documents
from steersman.cli.text import printable
from steersman.control.changes import ObjectChange


def object_diff(change: ObjectChange) -> str:
    """Return what of an object would change, "" if nothing."""
    before = _lines(change.before) if change.before is not None else []
    now = "now" if change.before is not None else "absent"
    names = f"{change.key} ({now})", f"{change.key} (applied)"
    diff = difflib.unified_diff(before, _lines(change.after), *names, n=2)
    return "".join(printable(line.rstrip("\n")) + "\n" for line in diff)


def _lines(document: dict[str, Any]) -> list[str]:
    return write_documents([document], "yaml").splitlines(keepends=True)
