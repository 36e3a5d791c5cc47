"""What the store refuses, and what can go wrong with the file behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steersman.api.errors import SteersmanError


class Conflict(SteersmanError):
    """Somebody else changed the object since it was read; reading it again can help."""

    retryable = True

    def __init__(self, kind: str, name: str, expected: int, found: int) -> None:
        is_now = f"is at {found}" if found else "does not exist"
        was = f"resourceVersion {expected}" if expected else "that it did not exist"
        super().__init__(
            f"{kind} {name}: the change expected {was}, but the object {is_now}; "
            f"read it again and repeat the change"
        )
        self.expected = expected
        self.found = found


class UidConflict(SteersmanError):
    """The name belongs to another object than the one that was meant."""

    def __init__(self, kind: str, name: str, expected: str, found: str | None) -> None:
        is_now = f"has uid {found}" if found is not None else "does not exist"
        super().__init__(
            f"{kind} {name}: the change is for uid {expected}, but the object {is_now}; "
            f"the one you read was deleted, look at what there is now"
        )
        self.expected = expected
        self.found = found


@dataclass(frozen=True)
class OwnedField:
    """A field, as `spec.processes.web.count`, and who manages it."""

    path: str
    manager: str

    def __str__(self) -> str:
        return f"{self.path} ({self.manager})"


class FieldConflict(SteersmanError):
    """An apply would change fields that others manage."""

    def __init__(self, kind: str, name: str, fields: Sequence[OwnedField]) -> None:
        others = ", ".join(map(str, fields))
        super().__init__(
            f"{kind} {name}: others manage what this would change: {others}; leave those fields "
            f"out, set them to what they are, or take them over with --force-conflicts"
        )
        self.fields = tuple(fields)


class Compacted(SteersmanError):
    """The history is not kept from so far back."""

    def __init__(self, since: int, oldest: int, newest: int) -> None:
        super().__init__(
            f"revision {since}: changes are known from revision {oldest} to {newest}; "
            f"list again, and watch from the revision of that list"
        )
        self.since = since
        self.oldest = oldest
        self.newest = newest


class BadToken(SteersmanError):
    """A continue token that no list gave."""

    def __init__(self, why: str) -> None:
        super().__init__(f"continue token: {why}; list again from the beginning, without one")


class BeingDeleted(SteersmanError):
    """Something was added to an object that is on its way out."""

    def __init__(self, kind: str, name: str, refused: str) -> None:
        super().__init__(
            f"{kind} {name} is being deleted and takes no new {refused}; "
            f"wait until it is gone and make it again"
        )


class NoOwner(SteersmanError):
    """An owner reference names an object that does not exist, or not with that uid."""

    def __init__(self, kind: str, name: str, owner: str, uid: str) -> None:
        super().__init__(
            f"{kind} {name}: its owner {owner} with uid {uid} does not exist; "
            f"read the owner again, or leave the reference's uid out"
        )


class NotStored(SteersmanError):
    """The object is not in the store."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"{kind} {name}: not found; `steer get {kind.lower()}` lists what there is"
        )


class NotWritable(SteersmanError):
    """Objects of this kind are written by the store alone."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"kind {kind} is written by the controller only; `steer get {kind.lower()}s` lists them"
        )


class BadObject(SteersmanError):
    """What was given is not an object that can be remembered."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; an object has apiVersion, kind, metadata.name and spec")


class BadSelector(SteersmanError):
    """A label selector that cannot be read."""

    def __init__(self, text: str, term: str) -> None:
        super().__init__(
            f"selector {text!r}: cannot read {term!r}; write terms like role=web, role!=web, "
            f"'role in (web, api)', 'role notin (db)', role or !role, with commas between them"
        )


class BadFieldSelector(SteersmanError):
    """A field selector that cannot be read."""

    def __init__(self, text: str, term: str) -> None:
        super().__init__(
            f"field selector {text!r}: cannot read {term!r}; write terms like metadata.name=shop, "
            f"spec.source.git.ref!=main or status.state=deployed, with commas between them"
        )


class LeaseHeld(SteersmanError):
    """Somebody else works on the same thing."""

    retryable = True

    def __init__(self, name: str, holder: str, pid: int) -> None:
        super().__init__(
            f"{name}: {holder} (pid {pid}) is working on it; wait for it to finish, or stop it"
        )
        self.holder = holder
        self.pid = pid


class LeaseLost(SteersmanError):
    """The lease ran out and somebody else took it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: the lease was taken over by another run; run the command again")


class StoreError(SteersmanError):
    """Something is wrong with the state file itself."""

    def __init__(self, path: Path, why: str, way_out: str) -> None:
        super().__init__(f"state file {path}: {why}; {way_out}")


class StoreBusy(StoreError):
    """Another process kept the file locked for too long."""

    retryable = True


class StoreFull(StoreError):
    """No room left to write; what was acknowledged is safe."""

    retryable = True


class StoreDamaged(StoreError):
    """The file is not a state file any more, or its pages do not add up."""


class StoreTooNew(StoreError):
    """A newer steersman wrote the file."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            path,
            f"it has schema {found}, this steersman knows up to {known}",
            "upgrade steersman, or name another folder with --state-dir",
        )


class StoreUnsafe(StoreError):
    """Others could change or replace the file."""
