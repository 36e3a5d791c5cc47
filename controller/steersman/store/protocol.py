"""What a store promises, whatever holds the data."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

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


@dataclass(frozen=True)
class Stored:
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
    def generation(self) -> int:
        return cast(int, self.metadata["generation"])

    @property
    def resource_version(self) -> int:
        return cast(int, self.metadata["resourceVersion"])

    @property
    def is_being_deleted(self) -> bool:
        return "deletionTimestamp" in self.metadata

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


class Watch(Protocol):
    """Changes as they come; `contextlib.aclosing` ends it. An async generator is one."""

    def __aiter__(self) -> AsyncIterator[Change]: ...

    async def __anext__(self) -> Change: ...

    async def aclose(self) -> None: ...


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


class ObjectStore(Protocol):
    """Objects, and the one history of their changes.

    There is one global revision: every committed change of any object raises it by one, and an
    object's resourceVersion is the revision of its last change. Calls that change something
    return when that survives a crash. They raise

    - Conflict when `expected_resource_version` is not the object's (0: it must not exist, None:
      whatever it is), UidConflict when `uid` is not its uid;
    - BadObject for what is no object, and NotWritable for an Event;
    - BeingDeleted for a finalizer that is added to an object being deleted (or a dependent, when
      that is in the foreground), NoOwner for a new owner reference with a uid that no object has.

    With `dry_run` they answer (or raise) as they would, and change nothing; the object then has
    the resourceVersion that it has now, 0 if it does not exist.
    """

    async def revision(self) -> int:
        """Return the revision of the newest change; 0 before the first."""
        ...

    async def get(self, kind: str, name: str) -> Stored | None: ...

    async def list(self, kind: str, selector: Selector | None = None) -> tuple[Stored, ...]:
        """Return the objects of a kind, by name; release 10 comes after release 9."""
        ...

    async def page(
        self, query: Query = EVERYTHING, limit: int | None = None, token: str | None = None
    ) -> Page:
        """Return what matches, at most `limit` objects, and the revision that this shows.

        A `token` goes on at the revision of the first page, whatever has changed since. Raises
        Compacted when that is no longer known: begin again; and BadToken.
        """
        ...

    def watch(self, since: int, query: Query = EVERYTHING, idle: float = 30.0) -> Watch:
        """Return the changes after revision `since`, in order, none lost and none twice.

        After `idle` seconds without one comes a BOOKMARK, and again after every `idle` more.
        With selectors, an object that begins to match is ADDED, and one that ceases to is
        DELETED. Raises Compacted, while iterating, when `since` is older than what is kept, is
        of another history (it lies in the future), or when the watcher is so slow that what it
        has not read yet is no longer kept: page again, and watch from there.
        """
        ...

    async def put(
        self,
        target: Object,
        expected_resource_version: int | None = None,
        *,
        uid: str | None = None,
        manager: str = UPDATE,
        dry_run: bool = False,
    ) -> Stored:
        """Remember what is wanted: metadata and spec, whole; what `target` leaves out is removed.
        `status` and the store's own metadata in `target` are ignored.

        generation counts the changes of spec (and the beginning of a deletion), resourceVersion
        every change. The fields that this changes become `manager`'s, whoever had them.
        """
        ...

    async def apply(
        self,
        target: Object,
        manager: str,
        *,
        force: bool = False,
        expected_resource_version: int | None = None,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> Stored:
        """Merge the fields that `manager` wants into the object: Kubernetes' server-side apply.

        `target` names all that this manager wants and nothing else. A field it applied before
        and no longer names is removed, unless somebody else owns it too; others' fields stay.
        Fields are metadata (labels, annotations, finalizers, ownerReferences) and spec, down to
        single values; maps are merged, lists are taken whole, finalizers one by one. `status`
        and the store's own metadata are ignored. An object that does not exist is made.

        Raises FieldConflict when `target` would change a field that others own; `force` takes
        those over. A field that others own with the same value is shared.
        """
        ...

    async def put_status(
        self,
        kind: str,
        name: str,
        status: Object,
        expected_resource_version: int | None = None,
        *,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> Stored:
        """Remember what is; replaces the whole status. Raises NotStored too."""
        ...

    async def delete(
        self,
        kind: str,
        name: str,
        expected_resource_version: int | None = None,
        *,
        uid: str | None = None,
        propagation: Propagation = "background",
        dry_run: bool = False,
    ) -> Stored | None:
        """Forget an object, and a Secret's values; events stay. None when it was not there.

        An object that has finalizers only gets its deletionTimestamp, once, and goes when the
        last of them is removed by `put` or `apply`. The `change` of what is returned is
        "deleted" when it is gone, "configured" or "unchanged" while it waits.
        """
        ...

    async def events(
        self, kind: str | None = None, name: str | None = None, limit: int = 50
    ) -> tuple[Event, ...]:
        """Return the newest `limit` events (about one object), oldest first."""
        ...

    async def close(self) -> None: ...


class Store(ObjectStore, Protocol):
    """The controller's memory, shared by processes; what a call has returned survives a crash."""

    async def compact(self, keep: int = 0) -> int:
        """Forget all changes but the newest `keep`; return the oldest revision to watch from.

        Stores do this by themselves when the log has grown or aged; no object is ever lost.
        """
        ...

    async def add_event(
        self,
        kind: str,
        name: str,
        type: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        host: str | None = None,
    ) -> Event:
        """Record an event; one that repeats within the hour only raises its count.

        Each is an object of kind Event as well, so that it can be listed and watched.
        """
        ...

    async def next_epoch(self, at_least: int = 1) -> int:
        """Return an epoch above every earlier one and not below `at_least`, already committed."""
        ...

    async def acquire_lease(self, name: str, holder: str, ttl: float = 60.0) -> Lease:
        """Take a name for `ttl` seconds; raises LeaseHeld unless its holder is gone or late."""
        ...

    async def is_leased(self, name: str) -> bool:
        """Return whether somebody holds a name at this moment."""
        ...

    async def renew_lease(self, lease: Lease, ttl: float = 60.0) -> None:
        """Hold on for `ttl` seconds from now; raises LeaseLost when somebody took over."""
        ...

    async def release_lease(self, lease: Lease) -> None:
        """Give the name back; harmless when it was lost."""
        ...

    async def key(self) -> bytes:
        """Return this store's 32 secret bytes, for keyed digests."""
        ...

    async def put_secret(self, name: str, values: Mapping[str, str]) -> bool:
        """Remember exactly these values of a Secret; True if that changed anything."""
        ...

    async def get_secret(self, name: str) -> Mapping[str, str] | None:
        """Return a Secret's values, None when it has none."""
        ...
