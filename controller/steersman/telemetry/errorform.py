"""An error as data: how a report is written down, and the object that a group of them is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from steersman.api.signals import ErrorReport, Frame, Raised

KIND = "Error"
_LABELS = ("app", "process", "host", "release", "kind")

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """How often a group of errors was seen, and where."""

    name: str
    first: float
    last: float
    count: int
    hosts: Mapping[str, int]
    releases: Mapping[str, int]


def as_object(body: bytes, seen: Seen) -> Object:
    """Return a group in the shape of the API's kinds: its last report, and what was `seen`."""
    report = orjson.loads(body)
    labels = {key: str(report[key]) for key in _LABELS if report.get(key)}
    metadata = {"name": seen.name, "creationTimestamp": stamp(seen.first), "labels": labels}
    spec = {
        **report,
        "count": seen.count,
        "first": stamp(seen.first),
        "last": stamp(seen.last),
        "hosts": dict(seen.hosts),
        "releases": dict(seen.releases),
    }
    return {"apiVersion": "steersman/v1", "kind": KIND, "metadata": metadata, "spec": spec}


def stamp(moment: float) -> str:
    """Return a time in RFC 3339 and UTC; what no calendar knows is the epoch."""
    try:
        at = datetime.fromtimestamp(moment, UTC)
    except (OverflowError, ValueError, OSError):
        at = datetime.fromtimestamp(0, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def written(report: ErrorReport, most: int) -> bytes:
    """Return a report as JSON of at most `most` bytes: what says least is left out first."""
    for smaller in (_whole, _without_crumbs, _without_source, _without_frames):
        body = orjson.dumps(_data(smaller(report)))
        if len(body) <= most:
            return body
    return orjson.dumps(_data(replace(_without_frames(report), message="", exceptions=())))


def _data(report: ErrorReport) -> Object:
    """Return a report as plain data without what is not known; each text as Unicode."""
    data = {
        **asdict(report.origin),
        "kind": report.kind,
        "title": report.title,
        "message": report.message,
        "level": report.level,
        "exceptions": [_raised(each) for each in report.exceptions],
        "exited": _exit(report),
        "breadcrumbs": [
            {"time": stamp(each.time), "level": each.level, "text": each.text}
            for each in report.breadcrumbs
        ],
    }
    found: Object = _sound(_known(data))
    return found


def _raised(raised: Raised) -> Object:
    data = {
        "type": raised.type,
        "message": raised.message,
        "relation": raised.relation,
        "frames": [_frame(each) for each in raised.frames],
    }
    return {**_known(data), "parent": raised.parent}


def _frame(frame: Frame) -> Object:
    data = {
        "file": frame.file,
        "line": frame.line,
        "function": frame.function,
        "code": frame.code,
        "before": list(frame.before),
        "after": list(frame.after),
    }
    return {**_known(data), "inApp": frame.is_in_app}


def _exit(report: ErrorReport) -> Object | None:
    exited = report.exited
    if exited is None:
        return None
    data = {"code": exited.code, "signal": exited.signal, "restarts": exited.restarts}
    flags = {"outOfMemory": exited.is_oom, "core": exited.has_core}
    known = {key: value for key, value in data.items() if value not in (None, "")}
    return {**known, **{key: True for key, value in flags.items() if value}}


def _known(data: Mapping[str, Any]) -> Object:
    return {key: value for key, value in data.items() if value not in (None, "", [], 0)}


def _sound(data: Any) -> Any:
    if isinstance(data, str):
        return data.encode("utf-8", "replace").decode()
    if isinstance(data, dict):
        return {key: _sound(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_sound(each) for each in data]
    return data


def _whole(report: ErrorReport) -> ErrorReport:
    return report


def _without_crumbs(report: ErrorReport) -> ErrorReport:
    return replace(report, breadcrumbs=())


def _without_source(report: ErrorReport) -> ErrorReport:
    exceptions = [
        replace(each, frames=tuple(replace(f, before=(), after=()) for f in each.frames))
        for each in report.exceptions
    ]
    return replace(_without_crumbs(report), exceptions=tuple(exceptions))


def _without_frames(report: ErrorReport) -> ErrorReport:
    """Leave the last calls of the first exceptions."""
    small = _without_source(report)
    exceptions = [
        replace(each, message=each.message[:500], frames=each.frames[-10:])
        for each in small.exceptions[:5]
    ]
    return replace(small, message=report.message[:500], exceptions=tuple(exceptions))
