"""Events in SQLite: repeats are counted, and each object keeps only its newest."""

from datetime import datetime
from typing import Literal, cast

from steersman.store.happenings import FOLD_WITHIN, KEPT_PER_OBJECT, forget, record, stamp
from steersman.store.lane import Session, Value
from steersman.store.protocol import Event
from steersman.store.tables import Table

_COLUMNS = "id, kind, name, type, reason, message, host, count, first, last"


def add(session: Session, table: Table, new: Event) -> Event:
    """Count an event that repeats within the hour, else add a row; `new` has no id yet."""
    since = stamp(datetime.fromisoformat(new.last) - FOLD_WITHIN)
    row = session.row(
        f"UPDATE events SET count = count + 1, last = ? WHERE id = ("  # noqa: S608
        "  SELECT id FROM events WHERE kind = ? AND name = ? AND last >= ?"
        "  AND type = ? AND reason = ? AND message = ? AND host IS ?"
        f"  ORDER BY last DESC LIMIT 1) RETURNING {_COLUMNS}",
        *(new.last, new.kind, new.name, since, new.type, new.reason, new.message, new.host),
    )
    if row is None:
        row = session.rows(
            f"INSERT INTO events ({_COLUMNS})"  # noqa: S608
            f" VALUES (NULL, ?, ?, ?, ?, ?, ?, 1, ?, ?) RETURNING {_COLUMNS}",
            *(new.kind, new.name, new.type, new.reason, new.message, new.host),
            *(new.first, new.last),
        )[0]
        _forget_oldest(session, table, new.kind, new.name)
    event = _event(row)
    record(table, event)
    return event


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


def _forget_oldest(session: Session, table: Table, kind: str, name: str) -> None:
    old = session.rows(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE kind = ? AND name = ?"
        " ORDER BY last DESC, id DESC LIMIT -1 OFFSET ?) RETURNING id",
        kind,
        name,
        KEPT_PER_OBJECT,
    )
    for (id_,) in old:
        forget(table, name, int(str(id_)))


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
