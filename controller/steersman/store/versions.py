"""Objects in SQLite: their versions by revision, and which of them is current."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from steersman.store.errors import Compacted
from steersman.store.lane import Session, Value
from steersman.store.pages import Key, Place, order, page_of
from steersman.store.plain import parsed, text_of
from steersman.store.protocol import Change, ChangeType, Object, Page, Query, Stored
from steersman.store.selectors import Selector
from steersman.store.tables import Logged, Row

_CURRENT = (
    "SELECT body, managed FROM objects AS o JOIN versions AS v USING (revision)"
    " WHERE o.kind = ? AND o.name = ?"
)
_EVERY = 256
"""Changes between two looks whether old ones can be forgotten."""


@dataclass(frozen=True)
class Retention:
    """How much of the history is kept: so many changes at most, and none that is older."""

    changes: int = 4_000
    seconds: int = 3600


class Versions:
    """A `Table` in one transaction of SQLite's; what is written is in the session's log too.

    `at` is the time in Unix seconds.
    """

    def __init__(self, session: Session, at: int, retention: Retention) -> None:
        self._session = session
        self._at = at
        self._retention = retention

    def row(self, kind: str, name: str) -> Row | None:
        found = self._session.row(_CURRENT, kind, name)
        return _row(*found) if found is not None else None

    def dependents(self, owner: Row) -> Sequence[Row]:
        found = self._session.rows(
            "SELECT v.body, v.managed FROM owners AS w"
            " JOIN objects AS o ON o.kind = w.kind AND o.name = w.name"
            " JOIN versions AS v ON v.revision = o.revision"
            " WHERE w.owner_kind = ? AND w.owner_name = ?",
            owner.kind,
            owner.name,
        )
        rows = (_row(*each) for each in found)
        return [row for row in rows if any(map(owner.is_meant_by, row.owners))]

    def write(self, type_: ChangeType, obj: Object, managed: str) -> Row:
        """Log a change and make it; return the object with its new resourceVersion."""
        session, kind, name = self._session, obj["kind"], obj["metadata"]["name"]
        before = session.row(
            "SELECT o.revision, body FROM objects AS o JOIN versions AS v USING (revision)"
            " WHERE o.kind = ? AND o.name = ?",
            kind,
            name,
        )
        revision = _next_revision(session)
        made = {**obj, "metadata": {**obj["metadata"], "resourceVersion": revision}}
        body = text_of(made)
        session.run(
            "INSERT INTO versions (revision, kind, name, type, before, at, body, managed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(revision, kind, name, type_, before[0] if before is not None else None),
            *(self._at, body.decode(), managed),
        )
        if type_ == "DELETED":
            session.run("DELETE FROM objects WHERE kind = ? AND name = ?", kind, name)
        else:
            session.run("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", kind, name, revision)
        was = str(before[1]).encode() if before is not None else None
        row = Row(made, body, managed)
        self._index_owners(row, was, type_)
        session.log.append(Logged(Change(type_, revision, kind, name, body, managed), was))
        if revision % _EVERY == 0:
            compact(session, self._retention.changes, self._at - self._retention.seconds)
        return row

    def wipe_secret(self, name: str) -> None:
        self._session.run("DELETE FROM secrets WHERE name = ?", name)

    def _index_owners(self, row: Row, was: bytes | None, type_: ChangeType) -> None:
        old = _owners_in(was)
        new = {(each["kind"], each["name"]) for each in row.owners if type_ != "DELETED"}
        for owner in old - new:
            self._session.run(
                "DELETE FROM owners"
                " WHERE owner_kind = ? AND owner_name = ? AND kind = ? AND name = ?",
                *(*owner, row.kind, row.name),
            )
        for owner in new - old:
            self._session.run("INSERT INTO owners VALUES (?, ?, ?, ?)", *owner, row.kind, row.name)


def revision_of(session: Session) -> int:
    """Return the revision of the newest change."""
    return _counter(session, "resource_version")


def get(session: Session, kind: str, name: str) -> Stored | None:
    found = session.row(_CURRENT, kind, name)
    return _row(*found).stored() if found is not None else None


def list_(session: Session, kind: str, selector: Selector | None) -> tuple[Stored, ...]:
    rows = session.rows(
        "SELECT body, managed FROM objects AS o JOIN versions AS v USING (revision)"
        " WHERE o.kind = ?",
        kind,
    )
    found = (_row(*each).stored() for each in rows)
    chosen = (one for one in found if selector is None or selector.matches(one.labels))
    return tuple(sorted(chosen, key=lambda one: order((kind, one.name))))


def page(session: Session, query: Query, limit: int | None, token: str | None) -> Page:
    newest = revision_of(session)
    place = Place.read(token) if token is not None else None
    revision = place.revision if place is not None else newest
    _check_kept(session, revision, newest)
    held = _held(session, query.kinds)
    if revision < newest:
        _go_back(session, held, revision)
    wanted = {key: at for key, at in held.items() if query.kinds is None or key[0] in query.kinds}

    def load(version: int) -> Stored:
        found = session.rows("SELECT body, managed FROM versions WHERE revision = ?", version)
        return _row(*found[0]).stored()

    return page_of(wanted, load, query, revision, limit, place.after if place is not None else None)


def changes_after(session: Session, since: int, limit: int) -> list[Logged]:
    """Return the changes after a revision, oldest first; raises Compacted."""
    _check_kept(session, since, revision_of(session))
    rows = session.rows(
        "SELECT v.type, v.revision, v.kind, v.name, v.body, v.managed, b.body"
        " FROM versions AS v LEFT JOIN versions AS b ON b.revision = v.before"
        " WHERE v.revision > ? ORDER BY v.revision LIMIT ?",
        since,
        limit,
    )
    return [_logged(*row) for row in rows]


def compact(session: Session, keep: int, oldest: int | None = None) -> int:
    """Forget the changes before the newest `keep`, and those from before `oldest` (Unix seconds).

    What a list at a kept revision shows stays, however old it is. Returns the oldest revision
    that is still known.
    """
    known, newest = _counter(session, "compacted"), revision_of(session)
    until = max(known, newest - keep)
    if oldest is not None:
        first = session.row(
            "SELECT min(revision) FROM versions WHERE revision > ? AND at >= ?", until, oldest
        )
        until = newest if first is None or first[0] is None else int(str(first[0])) - 1
    session.run(
        "DELETE FROM versions WHERE revision IN"
        " (SELECT before FROM versions WHERE revision > ? AND revision <= ?)",
        *(known, until),
    )
    session.run(
        "DELETE FROM versions WHERE type = 'DELETED' AND revision > ? AND revision <= ?",
        *(known, until),
    )
    session.run("UPDATE counters SET value = ? WHERE name = 'compacted'", until)
    return until


def _held(session: Session, kinds: frozenset[str] | None) -> dict[Key, int]:
    sql = "SELECT kind, name, revision FROM objects"
    if kinds is None:
        rows = session.rows(sql)
    else:
        rows = [row for kind in kinds for row in session.rows(f"{sql} WHERE kind = ?", kind)]
    return {(str(kind), str(name)): int(str(version)) for kind, name, version in rows}


def _go_back(session: Session, held: dict[Key, int], revision: int) -> None:
    """Turn what is held now into what was held at `revision`."""
    done = set()
    for kind, name, before in session.rows(
        "SELECT kind, name, before FROM versions WHERE revision > ? ORDER BY revision", revision
    ):
        key = str(kind), str(name)
        if key in done:
            continue
        done.add(key)
        held.pop(key, None)
        if before is not None:
            held[key] = int(str(before))


def _check_kept(session: Session, revision: int, newest: int) -> None:
    oldest = _counter(session, "compacted")
    if not oldest <= revision <= newest:
        raise Compacted(revision, oldest, newest)


def _counter(session: Session, name: str) -> int:
    row = session.row("SELECT value FROM counters WHERE name = ?", name)
    return int(str(row[0])) if row is not None else 0


def _next_revision(session: Session) -> int:
    row = session.row(
        "UPDATE counters SET value = value + 1 WHERE name = 'resource_version' RETURNING value"
    )
    return int(str(row[0])) if row is not None else 0


def _row(body: Value, managed: Value) -> Row:
    text = str(body).encode()
    return Row(parsed(text), text, str(managed))


def _logged(*row: Value) -> Logged:
    type_, revision, kind, name, body, managed, before = row
    change = Change(
        cast(ChangeType, type_),
        int(str(revision)),
        str(kind),
        str(name),
        str(body).encode(),
        str(managed),
    )
    return Logged(change, str(before).encode() if before is not None else None)


def _owners_in(text: bytes | None) -> set[Key]:
    # A quick look, for most objects have no owner and need not be read again.
    if text is None or b'"ownerReferences":[{' not in text:
        return set()
    owners = parsed(text)["metadata"].get("ownerReferences") or ()
    return {(each["kind"], each["name"]) for each in owners}
