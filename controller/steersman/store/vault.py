"""Epochs, the key for digests, and secret values: what no listing ever shows."""

import secrets
from collections.abc import Mapping

from steersman.store.lane import Session


def next_epoch(session: Session, at_least: int) -> int:
    row = session.row(
        "UPDATE counters SET value = max(value + 1, ?) WHERE name = 'epoch' RETURNING value",
        at_least,
    )
    return int(str(row[0])) if row is not None else at_least


def key(session: Session) -> bytes:
    session.run("INSERT OR IGNORE INTO keys VALUES ('digest', ?)", secrets.token_bytes(32))
    row = session.row("SELECT value FROM keys WHERE name = 'digest'")
    return row[0] if row is not None and isinstance(row[0], bytes) else b""


def put_secret(session: Session, name: str, values: Mapping[str, str]) -> bool:
    if (get_secret(session, name) or {}) == dict(values):
        return False
    session.run("DELETE FROM secrets WHERE name = ?", name)
    for one, value in values.items():
        session.run("INSERT INTO secrets VALUES (?, ?, ?)", name, one, value)
    return True


def get_secret(session: Session, name: str) -> dict[str, str] | None:
    rows = session.rows("SELECT key, value FROM secrets WHERE name = ? ORDER BY key", name)
    return {str(one): str(value) for one, value in rows} or None
