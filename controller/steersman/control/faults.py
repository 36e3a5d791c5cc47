"""Errors as plain data and back: what a client raises reads as it did in the daemon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steersman.api.errors import SteersmanError
from steersman.store.errors import FieldConflict, OwnedField

# What verbs ask of an error besides its text, by the name of its class; subclasses have it too.
_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "Compacted": ("since", "oldest", "newest"),
    "Conflict": ("expected", "found"),
    "HandError": ("host", "kind", "message"),
    "HostUnreachable": ("host",),
    "LeaseHeld": ("holder", "pid"),
    "Rejected": ("is_aborted",),
    "UidConflict": ("expected", "found"),
}


class RemoteFault(SteersmanError):
    """An error of a class that only the daemon knows; its text is all that it is here."""


def encode_error(error: SteersmanError) -> dict[str, Any]:
    """Return {"type", "message", "retryable"} and, where verbs need them, "attributes"."""
    names = [name for each in type(error).__mro__ for name in _ATTRIBUTES.get(each.__name__, ())]
    attributes = {name: getattr(error, name) for name in names}
    if isinstance(error, FieldConflict):
        attributes["fields"] = [[each.path, each.manager] for each in error.fields]
    told = {"type": type(error).__name__, "message": str(error), "retryable": error.retryable}
    return {**told, **({"attributes": attributes} if attributes else {})}


def decode_error(data: Mapping[str, Any]) -> SteersmanError:
    """Return the error that `data` tells of, as its own class if that is known here."""
    known = {each.__name__: each for each in _all(SteersmanError)}
    made = known.get(str(data.get("type")), RemoteFault)
    # Its constructor makes the sentence, and that is made already.
    error = made.__new__(made, str(data["message"]))
    error.args = (str(data["message"]),)
    given = data.get("attributes")
    names = [name for each in made.__mro__ for name in _ATTRIBUTES.get(each.__name__, ())]
    for name in names:
        value = given.get(name) if isinstance(given, Mapping) else None
        setattr(error, name, value if value is not None else "")
    if isinstance(error, FieldConflict) and isinstance(given, Mapping):
        error.fields = tuple(OwnedField(*each) for each in given.get("fields", ()))
    if bool(data.get("retryable")) != error.retryable:
        error.retryable = bool(data.get("retryable"))  # type: ignore[misc]
    return error


def encode_all(error: BaseException) -> list[dict[str, Any]]:
    """Return every SteersmanError in an error or a group of them; raises what is none."""
    match error:
        case BaseExceptionGroup():
            return [told for each in error.exceptions for told in encode_all(each)]
        case SteersmanError():
            return [encode_error(error)]
        case _:
            raise error


def raise_all(faults: list[Mapping[str, Any]]) -> None:
    """Raise the one error, or the group of errors, that `encode_all` told of."""
    errors = [decode_error(each) for each in faults]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup("not as wanted", errors)


def _all(top: type[SteersmanError]) -> Iterator[type[SteersmanError]]:
    yield top
    for each in top.__subclasses__():
        yield from _all(each)
