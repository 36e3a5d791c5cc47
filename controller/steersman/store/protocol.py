"""What a store promises, whatever holds the data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

from steersman.store.selectors import Selector

Object = dict[str, Any]
"""A JSON-compatible object: apiVersion, kind, metadata, spec, status."""

Change = Literal["created", "configured", "unchanged"]


@dataclass(frozen=True)
class Stored:
    """An object as the store has it; `change` says what the call did to it.

    `object` carries the metadata that the store owns: uid, generation, resourceVersion and
    creationTimestamp. It is the caller's own copy.
    """

    object: Object
    change: Change = "unchanged"

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
    def labels(self) -> Mapping[str, str]:
        return cast(Mapping[str, str], self.metadata.get("labels") or {})

    @property
    def spec(self) -> Object:
        return cast(Object, self.object["spec"])

    @property
    def status(self) -> Object:
        return cast(Object, self.object.get("status") or {})


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


class Store(Protocol):
    """The controller's memory, shared by processes; what a call has returned survives a crash."""

    async def get(self, kind: str, name: str) -> Stored | None: ...

    async def list(self, kind: str, selector: Selector | None = None) -> tuple[Stored, ...]:
        """Return the objects of a kind, by name; release 10 comes after release 9."""
        ...

    async def put(self, target: Object, expected_resource_version: int | None = None) -> Stored:
        """Remember what is wanted: metadata and spec; `status` and the store's own metadata in
        `target` are ignored. 0 expects that the object does not exist, None expects nothing.

        generation counts the changes of spec, resourceVersion every change. Raises Conflict.
        """
        ...

    async def put_status(
        self, kind: str, name: str, status: Object, expected_resource_version: int | None = None
    ) -> Stored:
        """Remember what is; replaces the whole status. Raises NotStored or Conflict."""
        ...

    async def delete(self, kind: str, name: str) -> bool:
        """Forget an object, and a Secret's values; events stay. False when it was not there."""
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
        """Record an event; one that repeats within the hour only raises its count."""
        ...

    async def events(
        self, kind: str | None = None, name: str | None = None, limit: int = 50
    ) -> tuple[Event, ...]:
        """Return the newest `limit` events, oldest first."""
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

    async def close(self) -> None: ...
