"""Events in SQLite: repeats are counted, and each object keeps only its newest."""

from datetime import datetime, timedelta
from typing import Literal, cast

from steersman.store.database import Session, Value
from steersman.store.protocol import Event

FOLD_WITHIN = timedelta(hours=1)
KEPT_PER_OBJECT = 200

_COLUMNS = "id, kind, name, type, reason, message, host, count, first, last"


def add(
    session: Session,
    kind: str,
    name: str,
    type: Literal["Normal", "Warning"],
    reason: str,
    message: str,
    host: str | None,
    now: datetime,
) -> Event:
    """Count an event that repeats within the hour, else add a row."""
    row = session.row(
        f"UPDATE events SET count = count + 1, last = ? WHERE id = ("  # noqa: S608
        "  SELECT id FROM events WHERE kind = ? AND name = ? AND last >= ?"
        "  AND type = ? AND reason = ? AND message = ? AND host IS ?"
        f"  ORDER BY last DESC LIMIT 1) RETURNING {_COLUMNS}",
        stamp(now),
        kind,
        name,
        stamp(now - FOLD_WITHIN),
        type,
        reason,
        message,
        host,
    )
    if row is not None:
        return _event(row)
    rows = session.rows(
        f"INSERT INTO events ({_COLUMNS})"  # noqa: S608
        f" VALUES (NULL, ?, ?, ?, ?, ?, ?, 1, ?, ?) RETURNING {_COLUMNS}",
        *(kind, name, type, reason, message, host, stamp(now), stamp(now)),
    )
    _forget_oldest(session, kind, name)
    return _event(rows[0])


def newest(session: Session, kind: str | None, name: str | None, limit: int) -> tuple[Event, ...]:
    rows = session.rows(
        f"SELECT {_COLUMNS} FROM events"  # noqa: S608
        " WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR name = ?2)"
        " ORDER BY last DESC, id DESC LIMIT ?3",
        kind,
        name,
        limit,
    )
    return tuple(_event(row) for row in reversed(rows))


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, so that text order is time order."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _forget_oldest(session: Session, kind: str, name: str) -> None:
    session.run(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE kind = ? AND name = ?"
        " ORDER BY last DESC, id DESC LIMIT -1 OFFSET ?)",
        kind,
        name,
        KEPT_PER_OBJECT,
    )


def _event(row: tuple[Value, ...]) -> Event:
    id_, kind, name, type_, reason, message, host, count, first, last = row
    return Event(
        int(str(id_)),
        str(kind),
        str(name),
        cast(Literal["Normal", "Warning"], type_),
        str(reason),
        str(message),
        None if host is None else str(host),
        int(str(count)),
        str(first),
        str(last),
    )
