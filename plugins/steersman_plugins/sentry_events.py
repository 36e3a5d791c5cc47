"""An error report as Sentry's event: https://develop.sentry.dev/sdk/data-model/event-payloads/"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from steersman.api.signals import ErrorReport, Frame, LogRecord, Origin, Raised

_LEVELS = {"critical": "fatal"}
_MOST_TAG = 200
_RELATIONS = {"cause": "__cause__", "context": "__context__", "member": "exceptions"}


def event_of(report: ErrorReport, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the event; the same report gives the same id, by which Sentry knows it again."""
    origin = report.origin
    event: dict[str, Any] = {
        "event_id": _id_of(report),
        "timestamp": _time(report.time),
        "platform": "python",
        "logger": "steersman",
        "level": _LEVELS.get(report.level, report.level),
        "server_name": origin.host,
        "transaction": _place(origin),
        "fingerprint": [report.fingerprint],
        "tags": {key: value[:_MOST_TAG] for key, value in {**_tags(report), **tags}.items()},
        "breadcrumbs": {"values": [_crumb(each) for each in report.breadcrumbs]},
    }
    if origin.release:
        event["release"] = version_of(origin)
    if report.exceptions:
        event["exception"] = {"values": _exceptions(report)}
    else:
        event["logentry"] = {"formatted": report.message or report.title}
    if report.exited is not None:
        event["contexts"] = {"exit": _exit(report)}
    return event


def version_of(origin: Origin) -> str:
    """Return the version of a release as Sentry parses it: app@number+commit."""
    commit = f"+{origin.commit[:12]}" if origin.commit else ""
    return f"{origin.app}@{origin.release}{commit}"


def _id_of(report: ErrorReport) -> str:
    told = repr((report.fingerprint, report.time, report.origin, report.title))
    return uuid.uuid5(uuid.NAMESPACE_OID, told.encode(errors="backslashreplace").hex()).hex


def _place(origin: Origin) -> str:
    return "/".join(part for part in (origin.app, origin.process) if part)


def _tags(report: ErrorReport) -> dict[str, str]:
    origin = report.origin
    found = {
        "app": origin.app, "process": origin.process, "instance": origin.instance,
        "host": origin.host, "kind": report.kind, "commit": origin.commit,
        "app_release": str(origin.release or ""),
    }  # fmt: skip
    return {key: value for key, value in found.items() if value}


def _exceptions(report: ErrorReport) -> list[dict[str, Any]]:
    """Return the exceptions with the one that was seen last, as Sentry wants it."""
    numbered = [_exception(number, each) for number, each in enumerate(report.exceptions)]
    return numbered[::-1]


def _exception(number: int, raised: Raised) -> dict[str, Any]:
    mechanism: dict[str, Any] = {"type": "generic", "handled": False, "exception_id": number}
    if 0 <= raised.parent < number:
        mechanism |= {"type": "chained", "parent_id": raised.parent}
        mechanism["source"] = _RELATIONS.get(raised.relation, raised.relation)
    module, _, name = raised.type.rpartition(".")
    return {
        "type": name or raised.type or "Error",
        "module": module or None,
        "value": raised.message,
        "mechanism": mechanism,
        "stacktrace": {"frames": [_frame(each) for each in raised.frames]},
    }


def _frame(frame: Frame) -> dict[str, Any]:
    return {
        "filename": frame.file,
        "abs_path": frame.file,
        "lineno": frame.line,
        "function": frame.function,
        "context_line": frame.code,
        "pre_context": list(frame.before),
        "post_context": list(frame.after),
        "in_app": frame.is_in_app,
    }


def _crumb(record: LogRecord) -> dict[str, Any]:
    return {
        "type": "default",
        "category": record.origin.process or "log",
        "level": _LEVELS.get(record.level, record.level),
        "timestamp": _time(record.time),
        "message": record.text,
        "data": dict(record.fields),
    }


def _exit(report: ErrorReport) -> dict[str, Any]:
    exited = report.exited
    if exited is None:
        return {}
    return {
        "type": "exit", "code": exited.code, "signal": exited.signal, "oom": exited.is_oom,
        "core": exited.has_core, "restarts": exited.restarts,
    }  # fmt: skip


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
