"""Rows as columns, and ages, as kubectl sets and says them."""

from collections.abc import Sequence
from datetime import datetime

from steersman.cli.text import one_line

NONE = "<none>"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as columns three spaces apart, as kubectl sets them."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
    return "".join(f"{line}\n" for line in lines)


def age(since: str | None, now: datetime) -> str:
    """Return how long ago as kubectl says it: 42s, 3m12s, 5h, 4d, 2y."""
    if since is None:
        return "<unknown>"
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    units = next((units for below, units in _AGES if seconds < below), "yd")
    parts: list[str] = []
    for unit in units:
        count, seconds = divmod(seconds, _SECONDS[unit])
        if count or not parts:
            parts.append(f"{count}{unit}")
    return "".join(parts)


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}
# The units to use below so many seconds: two of them where one would be coarse.
_AGES = (
    (2 * 60, "s"),
    (10 * 60, "ms"),
    (3 * 3600, "m"),
    (8 * 3600, "hm"),
    (2 * 86400, "h"),
    (8 * 86400, "dh"),
    (2 * 365 * 86400, "d"),
)
