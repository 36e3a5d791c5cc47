"""What the store refuses, and what can go wrong with the file behind it."""

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


class NotStored(SteersmanError):
    """The object is not in the store."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"{kind} {name}: not found; `steer get {kind.lower()}` lists what there is"
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
