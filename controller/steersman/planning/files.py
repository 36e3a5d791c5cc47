"""From a file a host should hold and what is there: the step between."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.planning.seen import FileSeen
from steersman.planning.steps import Step, WriteFile
from steersman.planning.target import File


def plan_file(file: File, seen: FileSeen | str | None) -> Iterator[Step]:
    """Yield the step that makes `file` what it should be, if it is not."""
    if seen is None:
        why = "absent"
    elif isinstance(seen, str) or seen.sha256 != file.sha256:
        why = "its content differs"
    elif seen.mode != file.mode:
        why = f"its mode is {seen.mode:o}, not {file.mode:o}"
    elif file.owner and seen.owner != file.owner:
        why = f"it belongs to {seen.owner}, not {file.owner}"
    else:
        return
    yield WriteFile(why, file.path, file.mode, file.owner, file.data)
