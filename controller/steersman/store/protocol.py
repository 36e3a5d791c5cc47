"""What a store promises, whatever holds the data."""

from collections.abc import AsyncIterator, Mapping
from typing import Literal, Protocol

from steersman.store.selectors import Selector
from steersman.store.stored import (
    EVENT,
    EVERYTHING,
    FOREGROUND,
    SECRET,
    UPDATE,
    Change,
    ChangeType,
    Effect,
    Event,
    Lease,
    Object,
    Page,
    Propagation,
    Query,
    Stored,
)

# Whoever is given a store works with its words, too.
__all__ = [
    "EVENT",
    "EVERYTHING",
    "FOREGROUND",
    "SECRET",
    "UPDATE",
    "Change",
    "ChangeType",
    "Effect",
    "Event",
    "Lease",
    "Object",
    "ObjectStore",
    "Page",
    "Propagation",
    "Query",
    "Store",
    "Stored",
    "Watch",
]


class Watch(Protocol):
    """Changes as they come; `contextlib.aclosing` ends it. An async generator is one."""

    def __aiter__(self) -> AsyncIterator[Change]: ...

    async def __anext__(self) -> Change: ...

    async def aclose(self) -> None: ...


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
