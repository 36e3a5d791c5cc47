"""How an app's answers went before and behind its last switch, by its proxy's own access log."""

from __future__ import annotations

import os
import time

from . import accesslog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Tuple

    from .accesslog import Answer, Routes

MOST = 64 << 20
# nginx reads the clock once in a turn of its loop: what it did later in it seems as early.
SLACK = 0.02


def measured(
    log: str,
    run: str,
    before: float,
    routes: Routes,
    seconds: Optional[float] = None,
) -> Dict[str, Any]:
    """Return how the generation that `run`, the app's folder of links, leads to answers.

    {"generation", "age" (seconds since the switch), "current", "old", "unsure", "is_all"}: counts
    since `before` seconds ahead of the switch, or of the last `seconds`. `old` is the generation
    that answered last but for the current one. Requests of which the log cannot tell which of
    both had them are `unsure`. `is_all` is False where the log was too long to be read.
    """
    now = time.time()
    number, first, last = _switch(run)
    since = now - seconds if seconds is not None else (first or now) - before
    counts = {name: accesslog.tally() for name in ("current", "old", "unsure")}
    older, is_all = -1, True
    for answer in accesslog.backwards(log, since, routes, MOST):
        if answer is None:
            is_all = False
        elif answer.route:
            by = generation_of(answer, number, first, last)
            if by is None:
                accesslog.add(counts["unsure"], answer)
            elif by == number:
                # One that comes back has served before as well, and that is not what is asked.
                if answer.end + SLACK >= first:
                    accesslog.add(counts["current"], answer)
            else:
                older = by if older < 0 else older
                if by in (older, -1):
                    accesslog.add(counts["old"], answer)
    told = {name: accesslog.told(each) for name, each in counts.items()}
    return {"generation": number, "age": max(0.0, now - first), "is_all": is_all, **told}


def generation_of(answer: Answer, number: int, first: float, last: float) -> Optional[int]:
    """Return which generation had a request, -1 for that before `number`, None if it is not sure.

    `number` serves since a moment between `first` and `last`. A request that found the same one
    as it came and as it had been answered was passed to that. For others the times decide.
    """
    if answer.first and answer.first == answer.last:
        return answer.first
    if answer.passed + SLACK < first:
        return answer.first or -1
    if answer.begun - SLACK > last:
        return number
    return None


def _switch(run: str) -> Tuple[int, float, float]:
    """Return the generation that serves, and when the first and the last link came to lead there.

    A link is renamed into place, which is the last change of it.
    """
    links = _links(run)
    number = _number_of(links["serving"][0]) if "serving" in links else 0
    times = [changed for target, changed in links.values() if _number_of(target) == number]
    return number, min(times, default=0.0), max(times, default=0.0)


def _number_of(target: str) -> int:
    """Return the generation that a link leads to: releases/8-1f2e or inst/web-g8.sock."""
    name = os.path.basename(target)
    stem = name[: -len(".sock")].rpartition("-g")[2] if name.endswith(".sock") else name
    digits = stem.partition("-")[0]
    return int(digits) if digits.isdigit() else 0


def _links(run: str) -> Dict[str, Tuple[str, float]]:
    """Return where each link leads, and when it was changed."""
    try:
        with os.scandir(run) as entries:
            return {
                entry.name: (
                    os.readlink(entry.path),
                    entry.stat(follow_symlinks=False).st_ctime_ns / 1e9,
                )
                for entry in entries
                if entry.is_symlink()
            }
    except FileNotFoundError:
        return {}
