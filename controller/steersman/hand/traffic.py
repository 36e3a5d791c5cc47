"""How many answers of an app's site were errors lately, by its proxy's own access log."""

from __future__ import annotations

import json
import os
import re
import time
from calendar import timegm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Optional, Tuple

# nginx's `combined` format: quotes inside the request are escaped, so they cannot end it.
_LINE = re.compile(
    rb"\[(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\]"
    rb' "[^"]*" (\d{3}) '
)
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_MOST = 16 << 20


def counted(log: str, since: Optional[str], seconds: Optional[float]) -> Dict[str, object]:
    """Return {"requests", "errors", "seconds"} of the log's last part.

    It begins when the link `since` was last changed, or `seconds` ago; at most its last 16 MiB
    are read. Errors are answers of 500 and above.
    """
    now = time.time()
    start = now - seconds if seconds is not None else _changed(since, now)
    requests = errors = 0
    for at, status in _answers(log):
        # nginx's log knows whole seconds only.
        if at >= int(start):
            requests += 1
            errors += status >= 500
    return {"requests": requests, "errors": errors, "seconds": max(0.0, now - start)}


def _changed(link: Optional[str], now: float) -> float:
    try:
        return os.lstat(link or "").st_mtime
    except OSError:
        return now


def _answers(log: str) -> Iterator[Tuple[float, int]]:
    if not os.path.exists(log):
        return
    with open(log, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _MOST))
        for line in file:
            answer = _of_caddy(line) if line.startswith(b"{") else _of_nginx(line)
            if answer is not None:
                yield answer


def _of_nginx(line: bytes) -> Optional[Tuple[float, int]]:
    found = _LINE.search(line)
    if found is None:
        return None
    day, month, year, hour, minute, second, sign, off_h, off_m, status = found.groups()
    clock = (int(year), _MONTHS.index(month) + 1, int(day))
    at = timegm((*clock, int(hour), int(minute), int(second)))
    offset = int(off_h) * 3600 + int(off_m) * 60
    return at + (offset if sign == b"-" else -offset), int(status)


def _of_caddy(line: bytes) -> Optional[Tuple[float, int]]:
    """Read a line of JSON; where it is read from in the middle, the first is none."""
    try:
        told = json.loads(line)
        return float(told["ts"]), int(told["status"])
    except (ValueError, KeyError, TypeError):
        return None
