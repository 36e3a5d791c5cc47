"""The paths of objects in the API."""

from __future__ import annotations

from urllib.parse import quote

from steersman.api.objects import plural_of


def path_of(kind: str, name: str | None = None) -> str:
    """Return the path of a kind, or of one of its objects; a name cannot lead anywhere else."""
    all_ = f"/{plural_of(kind)}"
    return all_ if name is None else f"{all_}/{quote(name, safe='')}"
