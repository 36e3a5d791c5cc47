"""The kinds as the API has them: their paths, and what may be done to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steersman.api.objects import KINDS, MANIFEST_KINDS, AnyObject, plural_of

GROUP, VERSION = "steersman", "v1"
ROOT = f"/apis/{GROUP}/{VERSION}"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects; people write the `is_written` ones, the controller all others.

    What `is_plain` is what an admin's client keeps for itself: it is stored as it comes, its status
    too, and nothing is done for it.
    """

    kind: str
    model: type[AnyObject]
    is_written: bool
    is_plain: bool = False

    @property
    def plural(self) -> str:
        return plural_of(self.kind)


PLAIN = frozenset({"Installation"})

RESOURCES: Mapping[str, Resource] = {
    kind: Resource(kind, model, kind in MANIFEST_KINDS, is_plain=kind in PLAIN)
    for kind, model in KINDS.items()
}


def app_of(kind: str, obj: Mapping[str, Any]) -> str | None:
    """Return the app that an object belongs to, None for what belongs to no app alone."""
    if kind == "App":
        return _text(obj.get("metadata"), "name")
    spec = obj.get("spec")
    if kind in ("Job", "Release", "Error"):
        return _text(spec, "app")
    if kind == "Event":
        involved = spec.get("involved") if isinstance(spec, Mapping) else None
        is_app = _text(involved, "kind") == "App"
        return _text(involved, "name") if is_app else None
    return None


def _text(data: object, key: str) -> str | None:
    found = data.get(key) if isinstance(data, Mapping) else None
    return found if isinstance(found, str) else None
