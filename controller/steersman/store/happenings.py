"""Events as objects of kind Event, so that they are listed and watched like any other."""

import uuid
from datetime import datetime, timedelta

from steersman.store.protocol import EVENT, Event, Object
from steersman.store.tables import Table

FOLD_WITHIN = timedelta(hours=1)
KEPT_PER_OBJECT = 200

# Not from steersman.api: what it is made with takes longer to import than everything here.
_API_VERSION = "steersman/v1"
_LONGEST_NAME = 50
"""Of the name that an event begins its own with; a name has at most 63 characters."""


def record(table: Table, event: Event) -> None:
    """Write a new event, or one that has happened again."""
    name = name_of(event.name, event.id)
    seen = table.row(EVENT, name)
    metadata = {
        "name": name,
        "uid": seen.uid if seen is not None else str(uuid.uuid4()),
        "creationTimestamp": event.first,
        "generation": seen.metadata["generation"] + 1 if seen is not None else 1,
    }
    made = {"apiVersion": _API_VERSION, "kind": EVENT, "metadata": metadata, "spec": _spec(event)}
    table.write("ADDED" if seen is None else "MODIFIED", made, "[]")


def forget(table: Table, name: str, id_: int) -> None:
    """Remove an event that is too old."""
    seen = table.row(EVENT, name_of(name, id_))
    if seen is not None:
        table.write("DELETED", seen.object, "[]")


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, so that text order is time order."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def name_of(name: str, id_: int) -> str:
    """Return the name of an event about the object `name`."""
    return f"{name[:_LONGEST_NAME].rstrip('-')}-{id_}"


def _spec(event: Event) -> Object:
    spec: Object = {
        "involved": {"kind": event.kind, "name": event.name},
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "time": event.last,
        "count": event.count,
    }
    return spec if event.host is None else {**spec, "host": event.host}
