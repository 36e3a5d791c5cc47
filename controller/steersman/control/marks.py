"""The annotations that steersman itself keeps on objects, and what leaves them as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from steersman.api.app import App
from steersman.api.host import CORDON
from steersman.api.meta import Object, ObjectMeta
from steersman.api.repository import SUSPENDED
from steersman.control.release import (
    ABORTED,
    PAUSED,
    PAUSING,
    PINNED,
    PROMOTED,
    RESTARTED_AT,
    SCALE,
)
from steersman.planning.inventory import INVENTORY
from steersman.store.protocol import UPDATE, Stored

Marked = TypeVar("Marked", bound=Object)

APPLY = "steer-apply"
"""The manager of the fields that manifests say."""

STEERING = (PINNED, RESTARTED_AT, SCALE, PAUSED, PAUSING, PROMOTED, ABORTED)
"""The annotations of an App that say how it is rolled out."""
OURS = (RESTARTED_AT, SCALE, PAUSED, PAUSING, PROMOTED, ABORTED, CORDON, INVENTORY, SUSPENDED)
"""What a manifest leaves as it is unless it names it."""


def is_pinned(app: App) -> int | None:
    """Return the number of the release that `rollout undo` chose, if it did."""
    number = app.metadata.annotations.get(PINNED, "").partition("@")[0]
    return int(number) if number.isdigit() else None


def keeping_ours(obj: Marked, known: Mapping[str, str]) -> Marked:
    """Return `obj` with those annotations of ours that are `known` and it does not name."""
    ours = {key: value for key, value in known.items() if key in OURS}
    return _annotated(obj, {**ours, **obj.metadata.annotations})


def merged(obj: Marked, known: ObjectMeta, stored: Stored) -> Marked:
    """Return what a manifest says as it is put in the place of what is `stored`."""
    given = obj.metadata
    others = {*OURS, *_marks_of_others(stored, "annotations")}
    annotations = {key: value for key, value in known.annotations.items() if key in others}
    labels = {key: known.labels[key] for key in _marks_of_others(stored, "labels")}
    kept = {
        field: getattr(known, field)
        for field in ("finalizers", "owner_references")
        if field not in given.model_fields_set
    }
    named = {
        "annotations": {**annotations, **given.annotations},
        "labels": {**labels, **given.labels},
    }
    return obj.model_copy(update={"metadata": given.model_copy(update={**named, **kept})})


def changed(obj: Marked, annotations: Mapping[str, str | None]) -> Marked:
    """Return `obj` with these annotations; None removes one."""
    both = {**obj.metadata.annotations, **annotations}
    return _annotated(obj, {key: value for key, value in both.items() if value is not None})


def _annotated(obj: Marked, annotations: Mapping[str, str]) -> Marked:
    metadata = obj.metadata.model_copy(update={"annotations": annotations})
    return obj.model_copy(update={"metadata": metadata})


def _marks_of_others(stored: Stored, part: Literal["labels", "annotations"]) -> set[str]:
    """Return the keys of labels or annotations that neither a manifest nor we ourselves set."""
    return {
        key.removeprefix("f:")
        for entry in stored.managed_fields
        if entry["manager"] not in (APPLY, UPDATE)
        for key in entry["fieldsV1"].get("f:metadata", {}).get(f"f:{part}", {})
        if key.startswith("f:") and key.removeprefix("f:") in (stored.metadata.get(part) or {})
    }
