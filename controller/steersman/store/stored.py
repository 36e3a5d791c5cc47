"""What goes into a store and comes out of it: objects, pages, changes, events and leases."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from steersman.store.selectors import FieldSelector, Selector

Object = dict[str, Any]
"""A JSON-compatible object: apiVersion, kind, metadata, spec, status."""

Effect = Literal["created", "configured", "unchanged", "deleted"]
"""What a call did; "deleted" when it removed the last finalizer of an object being deleted."""

ChangeType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]

Propagation = Literal["background", "foreground", "orphan"]
"""What becomes of an object's dependents, the objects that name it in `ownerReferences`:

background: they go as soon as it is gone; foreground: it stays, with the finalizer
`foregroundDeletion`, until they are gone; orphan: they stay and forget it. An object that has
another owner in the store stays as well.
"""

FOREGROUND = "foregroundDeletion"
"""The finalizer that the store itself sets and removes."""

SECRET = "Secret"  # noqa: S105
"""The kind whose values are kept apart, and go with the object."""

EVENT = "Event"
"""The kind of events: read as objects, written by `add_event` only."""

UPDATE = "update"
"""Who owns the fields that `put` changed, unless it names another manager."""


class Held:
    """What every form of an object in a store says of it."""

    object: Object

    @property
    def kind(self) -> str:
        return cast(str, self.object["kind"])

    @property
    def metadata(self) -> Object:
        return cast(Object, self.object["metadata"])

    @property
    def name(self) -> str:
        return cast(str, self.metadata["name"])

    @property
    def uid(self) -> str:
        return cast(str, self.metadata["uid"])

    @property
    def resource_version(self) -> int:
        return cast(int, self.metadata["resourceVersion"])

    @property
    def is_being_deleted(self) -> bool:
        return "deletionTimestamp" in self.metadata


@dataclass(frozen=True)
class Stored(Held):
    """An object as the store has it; `change` says what the call did to it.

    `object` carries the metadata that the store owns: uid, generation, resourceVersion,
    creationTimestamp and deletionTimestamp. It is the caller's own copy. Who manages which field
    is not in it: see `managed_fields` and `shown`.
    """

    object: Object
    change: Effect = "unchanged"
    managed: str = field(default="[]", repr=False)
    """`managed_fields` as JSON text."""

    @property
    def generation(self) -> int:
        return cast(int, self.metadata["generation"])

    @property
    def managed_fields(self) -> list[Object]:
        """Kubernetes' `metadata.managedFields`: manager, operation, time, fieldsV1; a new list."""
        return cast(list[Object], json.loads(self.managed))

    @property
    def shown(self) -> Object:
        """The object with `metadata.managedFields` in it, as `--show-managed-fields` prints it."""
        return {**self.object, "metadata": {**self.metadata, "managedFields": self.managed_fields}}

    @property
    def labels(self) -> Mapping[str, str]:
        return cast(Mapping[str, str], self.metadata.get("labels") or {})

    @property
    def spec(self) -> Object:
        return cast(Object, self.object["spec"])

    @property
    def status(self) -> Object:
        return cast(Object, self.object.get("status") or {})


@dataclass(frozen=True)
class Query:
    """Which objects are meant; `kinds` None means every kind, Events too. All must match."""

    kinds: frozenset[str] | None = None
    labels: Selector = field(default_factory=Selector)
    fields: FieldSelector = field(default_factory=FieldSelector)

    @classmethod
    def of(cls, *kinds: str) -> "Query":
        """Return the query for every object of these kinds."""
        return cls(frozenset(kinds))

    def matches(self, obj: Object) -> bool:
        if self.kinds is not None and obj["kind"] not in self.kinds:
            return False
        return self.labels.matches(obj["metadata"].get("labels") or {}) and self.fields.matches(obj)


EVERYTHING = Query()


@dataclass(frozen=True)
class Page:
    """Objects as they were together at `revision`, by kind and name; release 10 after release 9.

    `token` asks for the next page, of the same revision; None when this is the last. `remaining`
    counts what follows, None where a selector would have to be tried to know.
    """

    items: tuple[Stored, ...]
    revision: int
    token: str | None = None
    remaining: int | None = None


@dataclass(frozen=True)
class Change:
    """What one revision did to one object. A BOOKMARK has no object: it says that every change
    up to `revision` that the watcher asked for has been delivered.

    `body` is the object as JSON, shared between watchers: servers pass it on as it is. After
    DELETED it is the object's last state. Its resourceVersion is `revision`.
    """

    type: ChangeType
    revision: int
    kind: str = ""
    name: str = ""
    body: bytes = field(default=b"", repr=False)
    managed: str = field(default="[]", repr=False)

    @property
    def stored(self) -> Stored:
        """The object, parsed anew: the caller's own copy. A BOOKMARK has none."""
        return Stored(json.loads(self.body), managed=self.managed)

    @property
    def object(self) -> Object:
        return self.stored.object


@dataclass(frozen=True)
class Event:
    """Something that happened to an object; `count` times between `first` and `last` (RFC 3339)."""

    id: int
    kind: str
    name: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    host: str | None
    count: int
    first: str
    last: str


@dataclass(frozen=True)
class Lease:
    """Proof of holding a name; `token` tells two holders in one process apart."""

    name: str
    holder: str
    pid: int
    token: str = field(repr=False)
