"""What the rules of objects need of whatever holds them, inside one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

from steersman.store.plain import parsed
from steersman.store.protocol import Change, ChangeType, Effect, Object, Stored
from steersman.store.stored import Held


@dataclass(frozen=True)
class Row(Held):
    """An object as it is held. `object` is this row's own copy; `body` is its text."""

    object: Object
    body: bytes
    managed: str

    @property
    def finalizers(self) -> Sequence[str]:
        return self.metadata.get("finalizers") or ()

    @property
    def owners(self) -> Sequence[Object]:
        return self.metadata.get("ownerReferences") or ()

    def is_meant_by(self, reference: Object) -> bool:
        """Return whether an owner reference of somebody's names this object."""
        is_named = (reference["kind"], reference["name"]) == (self.kind, self.name)
        return is_named and reference.get("uid") in (None, self.uid)

    def stored(self, effect: Effect = "unchanged") -> Stored:
        return Stored(self.object, effect, self.managed)


@dataclass(frozen=True)
class Logged:
    """A change and the object's text before it, so that a watcher sees what ceased to match."""

    change: Change
    before: bytes | None

    # Read once for all watchers, who only look at them.
    @cached_property
    def object_before(self) -> Object | None:
        return cast(Object, parsed(self.before)) if self.before is not None else None

    @cached_property
    def object_after(self) -> Object:
        return cast(Object, parsed(self.change.body))


class Table(Protocol):
    """Objects in one transaction: what is written here is there whole, later, or not at all."""

    def row(self, kind: str, name: str) -> Row | None:
        """Return an object as a copy of the caller's own."""
        ...

    def dependents(self, owner: Row) -> Sequence[Row]:
        """Return the objects that name `owner` among their owners."""
        ...

    def write(self, type_: ChangeType, obj: Object, managed: str) -> Row:
        """Log a change and make it; return the object with its new resourceVersion."""
        ...

    def wipe_secret(self, name: str) -> None:
        """Forget the values of a Secret."""
        ...
