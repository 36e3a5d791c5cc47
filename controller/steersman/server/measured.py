"""What was measured, over HTTP: series of samples, and the releases that belong beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args

from starlette.responses import Response

from steersman.server.ask import Ask
from steersman.server.objects import json_answer
from steersman.server.policy import allows
from steersman.server.status import ApiError
from steersman.telemetry.samples import Samples
from steersman.telemetry.sampling import BadRange, How

LABELS = ("app", "host", "process", "instance", "release")
"""The labels that are parameters of their own; any other is given as `match=LABEL=VALUE`."""
MOST_MATCHES = 20
MOST_SERIES = 500
MOST_MARKS = 500


async def samples(ask: Ask) -> Response:
    """Return the series of `name`; without one, the names that there are."""
    kept = ask.parts.samples
    if kept is None:
        raise ApiError(503, "this daemon keeps no samples; `steer serve` does")

    def visible(labels: Mapping[str, str]) -> bool:
        return may_see(ask, labels.get("app", ""))

    dropped = dict(kept.dropped)
    name = ask.text("name")
    if name is None:
        names = [{"name": each, "kind": kind} for each, kind in kept.names(visible).items()]
        return json_answer({"names": names, "dropped": dropped})
    match = _match(ask)
    if ask.flag("latest"):
        found = kept.latest(name, match, visible)
        latest = [
            {"labels": _masked(ask, one.labels), "time": one.time, "value": one.value}
            for one in found[:MOST_SERIES]
        ]
        return json_answer({"name": name, "latest": latest, "more": len(found) > MOST_SERIES})
    return json_answer({"name": name, **await _series(ask, kept, name, match, visible)})


async def _series(
    ask: Ask, kept: Samples, name: str, match: Mapping[str, str], visible: Any
) -> dict[str, Any]:
    how, by = ask.text("how") or "avg", ask.text("by")
    if how not in get_args(How):
        raise ApiError(400, f"how={how[:40]!r}: it is one of {', '.join(get_args(How))}")
    labels = [one for one in by.split(",") if one][:MOST_MATCHES] if by is not None else None
    try:
        found = await kept.series(
            *(name, match, _time(ask, "start"), _time(ask, "end"), ask.number("step", most=86400)),
            rate=ask.flag("rate"),
            by=labels,
            how=how,  # type: ignore[arg-type]
            visible=visible,
        )
    except BadRange as error:
        raise ApiError(400, str(error)) from None
    series = [
        {"labels": _masked(ask, one.labels), "points": one.points} for one in found[:MOST_SERIES]
    ]
    return {"series": series, "more": len(found) > MOST_SERIES}


def may_see(ask: Ask, app: str) -> bool:
    """Return whether who asks may see what was seen of an app; of a host, "", one must read all."""
    return allows(ask.subject, "get", "Sample", app or None)


def _masked(ask: Ask, labels: Mapping[str, str]) -> object:
    return ask.parts.masks.data(dict(labels))


def _match(ask: Ask) -> dict[str, str]:
    match = {label: value for label in LABELS if (value := ask.text(label)) is not None}
    for one in ask.connection.query_params.getlist("match")[:MOST_MATCHES]:
        label, equals, value = one.partition("=")
        if not equals:
            raise ApiError(400, f"match={one[:40]!r}: write LABEL=VALUE")
        match[label] = value
    return match


def _time(ask: Ask, name: str) -> float | None:
    """Return a time: seconds since the epoch, or ISO 8601; raises ApiError."""
    value = ask.text(name)
    if value in (None, ""):
        return None
    try:
        time = float(value)
    except ValueError:
        time = _iso(value)
    if not math.isfinite(time):
        raise ApiError(
            400,
            f"{name}={value[:40]!r}: write seconds since the epoch, or 2026-11-25T22:00:00Z",
        )
    return time


def _iso(text: str) -> float:
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        return math.nan


async def marks(ask: Ask) -> Response:
    """Return the releases of an `app`, or of all that who asks may see, by the time they began."""
    app = ask.text("app")
    stored = await ask.parts.store.list("Release")
    mine = [
        one.object
        for one in stored
        if app in (None, one.spec.get("app")) and ask.may("get", "Release", one.object)
    ]
    items = sorted((_mark(each) for each in mine), key=lambda one: str(one["time"]))
    return json_answer({"items": ask.parts.masks.data(items[-MOST_MARKS:])})


def _mark(release: Mapping[str, Any]) -> dict[str, Any]:
    spec, status = release["spec"], release.get("status", {})
    changed = [one.get("lastTransitionTime") for one in status.get("conditions", ())]
    return {
        "app": spec["app"],
        "number": spec["number"],
        "time": release["metadata"]["creationTimestamp"],
        "state": status.get("state", "pending"),
        "settled": max((each for each in changed if each), default=None),
        "commit": spec.get("commit"),
        "ref": spec.get("ref"),
    }
