"""Places where a test can make this process die, to prove that any instant is survivable.

`STEER_FAILPOINT=before:<n>` or `after:<n>` kills the process without warning around the n-th step
it applies, counted from 1 over all hosts; `during:release-command` does so at the first line that
one writes, and `after:release-command` when its end is known. Unset, a failpoint is one comparison.
"""

from __future__ import annotations

import os
import signal

_wanted = os.environ.get("STEER_FAILPOINT", "")
_count = 0


def next_step() -> int:
    """Count one more step and return its number."""
    global _count
    _count += 1
    return _count


def reached(when: str, place: int | str) -> None:
    if _wanted and _wanted == f"{when}:{place}":
        os.kill(os.getpid(), signal.SIGKILL)
