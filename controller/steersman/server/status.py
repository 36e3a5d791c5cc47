"""Errors as Kubernetes' Status objects, each with the code that HTTP has for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from steersman.api.errors import SteersmanError
from steersman.api.mask import Masks
from steersman.api.objects import InvalidObject
from steersman.api.refusal import Refused
from steersman.control.admission import NotAdmitted
from steersman.control.deleting import StillUsed
from steersman.control.faults import encode_error
from steersman.control.memory import NotFound
from steersman.server.patches import BadPatch, ProbeFailed
from steersman.server.policy import BadScope
from steersman.server.tokens import TokenRefused, TokenTaken
from steersman.store.errors import (
    BadFieldSelector,
    BadObject,
    BadSelector,
    BadToken,
    BeingDeleted,
    Compacted,
    Conflict,
    FieldConflict,
    LeaseHeld,
    NoOwner,
    NotStored,
    OwnedField,
    StoreError,
    UidConflict,
)

log = structlog.get_logger(__name__)

MOST_CAUSES = 100
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
# The first that fits counts.
_CODES: tuple[tuple[type[SteersmanError], int], ...] = (
    (TokenRefused, 401),
    (ProbeFailed, 422),
    (BadPatch, 400),
    (BadScope, 422),
    (BadSelector, 400),
    (BadFieldSelector, 400),
    (BadToken, 410),
    (Compacted, 410),
    (BadObject, 400),
    (NotFound, 404),
    (NotStored, 404),
    (Conflict, 409),
    (UidConflict, 409),
    (FieldConflict, 409),
    (BeingDeleted, 409),
    (NoOwner, 422),
    (TokenTaken, 409),
    (StillUsed, 409),
    (LeaseHeld, 409),
    (StoreError, 503),
    (InvalidObject, 422),
    (NotAdmitted, 422),
)


class ApiError(SteersmanError):
    """A request that is refused with a code of HTTP's."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str | None = None,
        causes: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason if reason is not None else _REASONS.get(code, "Unknown")
        self.causes = causes or []
        self.headers = dict(headers or {})


def invalid(kind: str, error: ValidationError) -> ApiError:
    """Return what pydantic found wrong with an object: each fault with its place, no value."""
    causes = list(_causes(error))[:MOST_CAUSES]
    listed = "; ".join(f"{each['field']}: {each['message']}" for each in causes)
    return ApiError(422, f"the {kind} is not valid: {listed}; see `steer schema`", causes=causes)


def _causes(error: ValidationError) -> Iterator[dict[str, str]]:
    for each in error.errors(include_url=False, include_input=False):
        refused = each.get("ctx", {}).get("error")
        place = [*each["loc"], *(refused.at if isinstance(refused, Refused) else ())]
        is_missing = each["type"] == "missing"
        reason = "FieldValueRequired" if is_missing else "FieldValueInvalid"
        text = str(refused) if isinstance(refused, Refused) else each["msg"]
        yield {"reason": reason, "message": text, "field": dotted(place)}
        for other in refused.others if isinstance(refused, Refused) else ():
            field = dotted([*each["loc"], *other.at])
            yield {"reason": reason, "message": str(other), "field": field}


def dotted(place: list[Any]) -> str:
    """Return a path in an object as Kubernetes writes it: `spec.routes[0].host`."""
    words = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in place)
    return words.removeprefix(".")


def code_of(error: SteersmanError) -> int:
    """Return the code of an error that is not told by itself."""
    if isinstance(error, ApiError):
        return error.code
    known = next((code for type_, code in _CODES if isinstance(error, type_)), None)
    if known is not None:
        return known
    return 503 if error.retryable else 422


def status_of(error: SteersmanError) -> dict[str, Any]:
    """Return the Status object of an error; `details.error` lets a client raise the very same."""
    code = code_of(error)
    reason = error.reason if isinstance(error, ApiError) else _REASONS.get(code, "Unknown")
    details: dict[str, Any] = {"error": encode_error(error)}
    if isinstance(error, ApiError) and error.causes:
        details["causes"] = error.causes
    if isinstance(error, NotAdmitted):
        details["causes"] = [{"reason": "NotAdmitted", "message": m} for m in error.problems]
    if isinstance(error, FieldConflict):
        details["causes"] = [_owned(each) for each in error.fields]
    if isinstance(error, Conflict) and error.expected == 0:
        reason = "AlreadyExists"
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": str(error),
        "reason": reason,
        "details": details,
        "code": code,
    }


def _owned(field: OwnedField) -> dict[str, str]:
    message = f"managed by {field.manager}"
    return {"reason": "FieldManagerConflict", "message": message, "field": field.path}


def success(message: str, **details: Any) -> dict[str, Any]:
    """Return the Status object of something that was done."""
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Success",
        "message": message,
        "details": details,
        "code": 200,
    }


def failure(error: Exception, masks: Masks, request: Request | None = None) -> JSONResponse:
    """Return the response for what went wrong; a bug of ours tells the log, not the client."""
    if isinstance(error, ExceptionGroup):
        first = next((e for e in error.exceptions if isinstance(e, SteersmanError)), error)
        error = first
    if not isinstance(error, SteersmanError):
        path = request.url.path if request is not None else ""
        log.error("api_request_failed", path=path, exc_info=error)
        error = ApiError(
            500,
            "something is wrong in the daemon itself; its log says what"
            " (`journalctl -u steer`): please report it",
        )
    headers = error.headers if isinstance(error, ApiError) else {}
    return JSONResponse(masks.data(status_of(error)), code_of(error), headers=headers)
