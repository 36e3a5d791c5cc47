"""steer top: what hosts, apps and processes use, as they were measured last."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from steersman.cli.app import Tools
from steersman.cli.options import common
from steersman.cli.tables import table
from steersman.cli.top_columns import (
    ASCII,
    BLOCKS,
    LONG,
    RECENT,
    STEP,
    VIEWS,
    Asked,
    Column,
    Data,
    Points,
    Row,
    View,
    newest,
    sparkline,
)

if TYPE_CHECKING:
    from steersman.client.api import Api

EVERY = 5.0
TREND = 12


@dataclass(frozen=True, slots=True)
class Line:
    """One row: what it is of, the value of each column that has one, and the trend of the first."""

    of: Row
    values: Mapping[str, float]
    trend: Points


@click.command()
@click.argument("what", type=click.Choice([*VIEWS, *(each[:-1] for each in VIEWS), "process"]),
                metavar="hosts|apps|processes")  # fmt: skip
@click.argument("name", required=False)
@click.option("--sort-by", metavar="COLUMN", help="Order by a column, the largest first: cpu.")
@click.option("-w", "--watch", is_flag=True, help="Go on, and print it anew every 5 seconds.")
@click.option("--no-headers", is_flag=True, help="Leave the titles of columns out.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print json instead of a table.")
@common
@click.pass_obj
def top(
    tools: Tools,
    what: str,
    name: str | None,
    sort_by: str | None,
    watch: bool,
    no_headers: bool,
    output: str | None,
) -> None:
    """Show what hosts, apps or processes use now, and how that went in the last minutes.

    A running daemon measures it; a column is there once something of it was. NAME is one host or
    one app.

    \b
      steer top hosts                  steer top apps --sort-by memory
      steer top processes shop         steer top apps shop -w
    """
    view = VIEWS["processes" if what.startswith("process") else f"{what.rstrip('s')}s"]
    if sort_by is not None and sort_by not in {each.key for each in view.columns}:
        known = ", ".join(each.key for each in view.columns)
        raise click.UsageError(f"--sort-by {sort_by}: it is one of {known}")
    shown = _Shown(view, name, sort_by, not no_headers, output == "json")
    asyncio.run(_watched(tools, shown) if watch else _once(tools, shown))


@dataclass(frozen=True, slots=True)
class _Shown:
    view: View
    name: str | None
    sort_by: str | None
    has_titles: bool
    is_json: bool


async def _once(tools: Tools, shown: _Shown) -> None:
    from steersman.cli.daemon import daemon_of

    async with daemon_of(tools) as api:
        await _print(api, shown)


async def _watched(tools: Tools, shown: _Shown) -> None:
    from steersman.cli.daemon import daemon_of

    async with daemon_of(tools) as api:
        while True:
            if sys.stdout.isatty() and not shown.is_json:
                click.echo("\x1b[H\x1b[J", nl=False)
            await _print(api, shown)
            sys.stdout.flush()
            await asyncio.sleep(EVERY)


async def _print(api: Api, shown: _Shown) -> None:
    now = time.time()
    lines = await _lines(api, shown, now)
    if shown.is_json:
        click.echo(json.dumps({"items": [_item(shown.view, line) for line in lines]}))
    elif lines:
        click.echo(table(_rows(shown, lines)), nl=False)
    else:
        what = "nothing of that was measured" if shown.name is None else f"{shown.name}: nothing"
        click.echo(
            f"{what} in the last minute; the daemon looks every few seconds: try again, or see"
            " what it logs",
            err=True,
        )


async def _lines(api: Api, shown: _Shown, now: float) -> list[Line]:
    view = shown.view
    asked = list(dict.fromkeys(each for column in view.columns for each in column.asked))
    answers = await asyncio.gather(*(_answer(api, view, each, shown.name, now) for each in asked))
    data = dict(zip(asked, answers, strict=True))
    rows = sorted({row for each in answers for row in each})
    last = _last(data)
    lines = [line for row in rows if (line := _line(view, row, data, last)) is not None]
    if shown.sort_by is not None:
        key = shown.sort_by
        lines.sort(key=lambda line: line.values.get(key, float("-inf")), reverse=True)
    return lines


def _last(data: Mapping[Asked, Data]) -> int:
    """Return the newest step for which rates are known; of anything, where there is no rate."""
    times = [
        (asked.is_rate, t)
        for asked, rows in data.items()
        for points in rows.values()
        for t in points
    ]
    return max(times, default=(False, 0))[1]


async def _answer(api: Api, view: View, asked: Asked, name: str | None, now: float) -> Data:
    """Return the points of each row; what the question keeps of several series is summed."""
    params = asked.params(view.labels, now)
    if name is not None:
        params[view.labels[0]] = name
    found = await api.json("GET", "/samples", params=params)
    rows: dict[Row, dict[int, float]] = {}
    for series in found["series"]:
        labels: dict[str, str] = series["labels"]
        if not labels.get(view.labels[0]):
            continue
        points = rows.setdefault(tuple(labels.get(label, "") for label in view.labels), {})
        is_kept = not asked.more or asked.keeps(labels.get(asked.more, ""))
        for t, value in series["points"]:
            points[t] = points.get(t, 0.0) + (value if is_kept else 0.0)
    return rows


def _line(view: View, row: Row, data: Mapping[Asked, Data], last: int) -> Line | None:
    times = [t for each in data.values() for t in each.get(row, ())]
    if not times or max(times) < last - RECENT:
        return None
    values: dict[str, float] = {}
    trend: Points = {}
    for column in view.columns:
        value = _value(column, [data[each].get(row, {}) for each in column.asked], last)
        if value is not None:
            values[column.key] = value
            trend = trend or data[column.asked[0]][row]
    return Line(row, values, trend) if values else None


def _value(column: Column, points: Sequence[Points], last: int) -> float | None:
    found = [
        newest(each, last, is_rate=asked.is_rate)
        for asked, each in zip(column.asked, points, strict=True)
    ]
    if len(found) == 1:
        return found[0]
    part, whole = found
    return None if part is None or not whole else part / whole


def _rows(shown: _Shown, lines: Sequence[Line]) -> list[list[str]]:
    view = shown.view
    columns = [each for each in view.columns if any(each.key in line.values for line in lines)]
    blocks = BLOCKS if _speaks_unicode() else ASCII
    last = max(t for line in lines for t in line.trend)
    titles = [*view.titles, *(each.title for each in columns), "TREND"]
    rows = [titles] if shown.has_titles else []
    for line in lines:
        cells = [
            column.shown(line.values[column.key]) if column.key in line.values else "-"
            for column in columns
        ]
        rows.append([*line.of, *cells, sparkline(line.trend, last, TREND, blocks)])
    return rows


def _speaks_unicode() -> bool:
    try:
        BLOCKS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _item(view: View, line: Line) -> dict[str, Any]:
    of = dict(zip(view.labels, line.of, strict=True))
    trend = {"step": STEP, "seconds": LONG, "points": sorted(line.trend.items())}
    return {**of, **line.values, "trend": trend}
