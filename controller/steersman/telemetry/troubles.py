"""The controller's own troubles as errors: rollouts and reconciles that fail, lost hosts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.api.signals import ErrorKind, ErrorReport, Happening, Origin
from steersman.control.outcome import Rejected, Stopped
from steersman.control.status import first_sentence
from steersman.telemetry.grouping import fingerprint_of_trouble

_OF_REASONS: Mapping[str, ErrorKind] = {
    "ReleaseRejected": "rollout-failed",
    "HostLost": "host-unreachable",
}


def report_of_happening(happening: Happening) -> ErrorReport | None:
    """Return the error that an event of the controller tells of; None if it tells of none."""
    kind = _OF_REASONS.get(happening.reason)
    if kind is None:
        return None
    return _report(happening.time, happening.origin, kind, happening.about, happening.message)


def report_of_failure(key: str, error: Exception, now: float | None = None) -> ErrorReport | None:
    """Return the error of a reconcile of `key`; None for one that an event tells of as well."""
    # Who attends the host says that it is lost, once; a rejected release is an event.
    if isinstance(error, HostUnreachable | Rejected):
        return None
    kind: ErrorKind = "rollout-failed" if isinstance(error, Stopped) else "reconcile-failed"
    name, _, host = key.partition("/")[2].partition("@")
    is_of_app = key.startswith(("App/", "Drift/"))
    origin = Origin(app=name if is_of_app else "", host=host or str(getattr(error, "host", "")))
    is_ours = isinstance(error, SteersmanError)
    text = str(error) if is_ours else f"{type(error).__name__}: {error}; this is a bug: report it"
    return _report(time.time() if now is None else now, origin, kind, key, text)


def telling(report: Callable[[ErrorReport], None]) -> Callable[[str, Exception], None]:
    """Return what a Keeper tells of its failures, so that they are reported."""

    def failed(key: str, error: Exception) -> None:
        made = report_of_failure(key, error)
        if made is not None:
            report(made)

    return failed


def _report(at: float, origin: Origin, kind: ErrorKind, about: str, message: str) -> ErrorReport:
    sentence = first_sentence(message)
    return ErrorReport(
        time=at,
        origin=origin,
        kind=kind,
        title=sentence[:200],
        fingerprint=fingerprint_of_trouble(kind, about, sentence),
        message=message[:8_000],
    )
