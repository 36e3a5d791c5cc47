"""Objects in SQLite: what `put`, `put_status` and `delete` mean."""

import json
import re
import uuid
from typing import Any

from steersman.store.database import Session
from steersman.store.errors import BadObject, Conflict, NotStored
from steersman.store.protocol import Object, Stored
from steersman.store.selectors import Selector

# What the store writes into metadata; whatever a caller puts there is ignored.
_OWNED = ("uid", "creationTimestamp", "generation", "resourceVersion")


def get(session: Session, kind: str, name: str) -> Stored | None:
    row = session.row("SELECT body FROM objects WHERE kind = ? AND name = ?", kind, name)
    return Stored(json.loads(str(row[0]))) if row is not None else None


def list_(session: Session, kind: str, selector: Selector | None) -> tuple[Stored, ...]:
    rows = session.rows("SELECT body FROM objects WHERE kind = ?", kind)
    found = (Stored(json.loads(str(row[0]))) for row in rows)
    chosen = (one for one in found if selector is None or selector.matches(one.labels))
    return tuple(sorted(chosen, key=lambda one: _natural(one.name)))


def put(session: Session, target: Object, expected: int | None, now: str) -> Stored:
    kind, name = _identity(target)
    seen = get(session, kind, name)
    _check_version(kind, name, seen, expected)
    wanted = {key: value for key, value in target["metadata"].items() if key not in _OWNED}
    rest = {key: value for key, value in target.items() if key not in ("metadata", "status")}
    if seen is None:
        owned = {"uid": str(uuid.uuid4()), "creationTimestamp": now, "generation": 1}
        made = {**rest, "metadata": {**wanted, **owned}}
        return Stored(_write(session, made), "created")
    owned = {key: seen.metadata[key] for key in _OWNED}
    made = {**rest, "metadata": {**wanted, **owned}}
    if seen.status:
        made["status"] = seen.status
    if _same(made, seen.object):
        return seen
    if not _same(made["spec"], seen.spec):
        made["metadata"]["generation"] = seen.generation + 1
    return Stored(_write(session, made), "configured")


def put_status(
    session: Session, kind: str, name: str, status: Object, expected: int | None
) -> Stored:
    seen = get(session, kind, name)
    _check_version(kind, name, seen, expected)
    if seen is None:
        raise NotStored(kind, name)
    if _same(status, seen.status):
        return seen
    return Stored(_write(session, {**seen.object, "status": status}), "configured")


def delete(session: Session, kind: str, name: str) -> bool:
    if kind == "Secret":
        session.run("DELETE FROM secrets WHERE name = ?", name)
    return session.run("DELETE FROM objects WHERE kind = ? AND name = ?", kind, name) > 0


def _check_version(kind: str, name: str, seen: Stored | None, expected: int | None) -> None:
    found = seen.resource_version if seen is not None else 0
    if expected is not None and expected != found:
        raise Conflict(kind, name, expected, found)


def _write(session: Session, made: Object) -> Object:
    row = session.row(
        "UPDATE counters SET value = value + 1 WHERE name = 'resource_version' RETURNING value"
    )
    version = int(str(row[0])) if row is not None else 0
    made = {**made, "metadata": {**made["metadata"], "resourceVersion": version}}
    body = _canonical(made)
    session.run(
        "INSERT OR REPLACE INTO objects (kind, name, resource_version, body) VALUES (?, ?, ?, ?)",
        made["kind"],
        made["metadata"]["name"],
        version,
        body,
    )
    # Parsed again, so that the caller's dicts and the returned ones are never shared.
    parsed: Object = json.loads(body)
    return parsed


def _identity(target: Object) -> tuple[str, str]:
    kind, metadata = target.get("kind"), target.get("metadata")
    if not isinstance(kind, str) or not kind:
        raise BadObject("an object without a kind cannot be stored")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        raise BadObject(f"a {kind} without metadata.name cannot be stored")
    if not isinstance(target.get("spec"), dict) or "apiVersion" not in target:
        raise BadObject(f"{kind} {name} lacks its apiVersion or its spec")
    return kind, name


def _canonical(value: Any) -> str:
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise BadObject(f"an object that is not plain JSON cannot be stored: {error}") from error


def _same(one: Any, other: Any) -> bool:
    # Not `==`: Python finds True equal to 1, and 1 to 1.0.
    return _canonical(one) == _canonical(other)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort shop-10 after shop-9."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
