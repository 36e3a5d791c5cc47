"""The file of samples: raw points for an hour, minutes for a day, the oldest dropped for room.

Points lie in the order of their time, so that writing goes to the file's end and dropping the
oldest is cutting off its front; a series' points are found by their keys, as times are aligned.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from steersman.store.lane import Session, Value
from steersman.store.sidefile import Layout, used_bytes
from steersman.telemetry.registry import Entry

RAW, MINUTE = 10, 60
KEPT: Mapping[int, int] = {RAW: 3600, MINUTE: 24 * 3600}
"""For how many seconds points of each length are kept."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    name   TEXT NOT NULL,
    labels TEXT NOT NULL,
    kind   TEXT NOT NULL,
    last   REAL,
    seen   REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS points (
    length INTEGER NOT NULL,
    t      INTEGER NOT NULL,
    series INTEGER NOT NULL,
    low    REAL,
    high   REAL,
    sum    REAL NOT NULL,
    count  INTEGER NOT NULL,
    last   REAL NOT NULL,
    PRIMARY KEY (length, t, series)
) STRICT, WITHOUT ROWID;
"""
_MARK = 0x53545331  # "STS1"
_SPARE = 0.9
"""Of the file's bound, what its points may take: their journal and indexes need room, too."""


def layout(most: int) -> Layout:
    return Layout(_MARK, _SCHEMA, most)


class Point(NamedTuple):
    """What a series was from `t` on; of a counter, `sum` is by how much it grew."""

    t: int
    series: int
    low: float
    high: float
    sum: float
    n: int
    last: float


def load(session: Session) -> tuple[list[Entry], int, list[int]]:
    """Return every stored series, the newest seen first, and the highest id ever given.

    At last the minutes that whoever was killed had not come to roll up.
    """
    rows = session.rows("SELECT id, name, labels, kind, last, seen FROM series ORDER BY seen DESC")
    row = session.row("SELECT seq FROM sqlite_sequence WHERE name = 'series'")
    entries = []
    for id_, name, labels, kind, last, seen in rows:
        value = math.nan if last is None else float(str(last))
        is_counter = kind == "counter"
        known = orjson.loads(str(labels))
        entries.append(
            Entry(
                *(int(str(id_)), str(name), known, "counter" if is_counter else "gauge"),
                *(value, float(str(seen))),
            )
        )
    return entries, int(str(row[0])) if row is not None else 0, _unsummed(session)


def _unsummed(session: Session) -> list[int]:
    rows = session.rows(
        "SELECT DISTINCT t - t % ? FROM points WHERE length = ? AND t >="
        " (SELECT coalesce(max(t), 0) - ? FROM points WHERE length = ?)",
        *(MINUTE, RAW, MINUTE, MINUTE),
    )
    return [int(str(row[0])) for row in rows]


def write(
    session: Session, entries: Iterable[Entry], points: Sequence[Point], minutes: Iterable[int]
) -> None:
    """Store points and their series, and roll up these minutes.

    A point that is there already is added to.
    """
    session.run_each(
        "INSERT INTO series (id, name, labels, kind, last, seen) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET last = excluded.last, seen = excluded.seen",
        [
            (
                *(each.id, each.name, orjson.dumps(dict(each.labels)).decode(), each.kind),
                *(None if math.isnan(each.last) else each.last, each.seen),
            )
            for each in entries
        ],
    )
    session.run_each(
        "INSERT INTO points (length, t, series, low, high, sum, count, last)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " low = min(coalesce(low, last), coalesce(excluded.low, excluded.last)),"
        " high = max(coalesce(high, last), coalesce(excluded.high, excluded.last)),"
        " sum = sum + excluded.sum, count = count + excluded.count, last = excluded.last",
        sorted(_row(one) for one in points),
    )
    for minute in minutes:
        _roll_up(session, minute)


def _row(one: Point) -> tuple[Value, ...]:
    # Most points are of one sample: what says nothing more takes no room.
    bounds = (None, None) if one.low == one.high else (one.low, one.high)
    return RAW, one.t, one.series, *bounds, one.sum, one.n, one.last


def _roll_up(session: Session, minute: int) -> None:
    # SQLite takes `last` from the row that max(t) is of.
    session.run(
        "INSERT OR REPLACE INTO points (length, t, series, low, high, sum, count, last)"
        " SELECT ?, ?, series, low, high, sum, count, last FROM ("
        " SELECT series, min(coalesce(low, last)) AS low, max(coalesce(high, last)) AS high,"
        " sum(sum) AS sum, sum(count) AS count FROM points"
        " WHERE length = ? AND t >= ? AND t < ? GROUP BY series)"
        " JOIN (SELECT series, last, max(t) FROM points"
        " WHERE length = ? AND t >= ? AND t < ? GROUP BY series) USING (series)",
        *(MINUTE, minute, RAW, minute, minute + MINUTE, RAW, minute, minute + MINUTE),
    )


def read(session: Session, length: int, ids: Sequence[int], start: int, end: int) -> list[Point]:
    """Return the points of some series from `start` until before `end`, by their time."""
    times = range(start - start % length, end, length)
    # Either each point by its key, or all of that time with those that nobody asked for.
    wanted = orjson.dumps(list(ids)).decode()
    found = session.rows(
        "WITH RECURSIVE times(t) AS"
        " (SELECT ? WHERE ? < ? UNION ALL SELECT t + ? FROM times WHERE t + ? < ?)"
        " SELECT p.t, p.series, p.low, p.high, p.sum, p.count, p.last"
        " FROM times CROSS JOIN json_each(?) AS one CROSS JOIN points AS p"
        " ON p.length = ? AND p.t = times.t AND p.series = one.value",
        *(times.start, times.start, end, length, length, end, wanted, length),
    )
    return [_point(row) for row in found]


def _point(row: Sequence[object]) -> Point:
    t, series, low, high, total, count, last = row
    newest = float(str(last))
    return Point(
        int(str(t)),
        int(str(series)),
        newest if low is None else float(str(low)),
        newest if high is None else float(str(high)),
        float(str(total)),
        int(str(count)),
        newest,
    )


def tidy(session: Session, now: float, most: int, forgotten: Sequence[int]) -> int:
    """Drop what is too old, then the oldest until the rest has room; return those points."""
    session.run("DELETE FROM series WHERE seen < ?", now - max(KEPT.values()))
    session.run(
        "DELETE FROM series WHERE id IN (SELECT value FROM json_each(?))",
        orjson.dumps(list(forgotten)).decode(),
    )
    for length, seconds in KEPT.items():
        # A little longer: a late sample may have a minute of raw points added up once more.
        oldest = int(now) - seconds - 2 * MINUTE
        session.run("DELETE FROM points WHERE length = ? AND t < ?", length, oldest)
    dropped = 0
    while used_bytes(session) > most * _SPARE:
        cut = _drop_oldest(session)
        if not cut:
            break
        dropped += cut
    return dropped


def _drop_oldest(session: Session) -> int:
    """Drop ten minutes of the older of the two lengths; at least one point time of it."""
    oldest = [
        (int(str(row[0])), length)
        for length in KEPT
        if (row := session.row("SELECT min(t) FROM points WHERE length = ?", length)) is not None
        and row[0] is not None
    ]
    if not oldest:
        return 0
    t, length = min(oldest)
    return session.run("DELETE FROM points WHERE length = ? AND t < ?", length, t + 600)
