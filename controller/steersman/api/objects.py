"""Every kind by its name, and the way from plain data to an object and back."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.event import Event
from steersman.api.host import Host
from steersman.api.installation import Installation
from steersman.api.job import Job
from steersman.api.plugin import Plugin
from steersman.api.release import Release
from steersman.api.repository import Repository
from steersman.api.secret import Secret

AnyObject = App | Host | Secret | Job | Repository | Plugin | Release | Installation | Event

KINDS: Mapping[str, type[AnyObject]] = {
    "App": App,
    "Host": Host,
    "Secret": Secret,
    "Job": Job,
    "Repository": Repository,
    "Plugin": Plugin,
    "Release": Release,
    "Installation": Installation,
    "Event": Event,
}
MANIFEST_KINDS = ("Host", "Secret", "App", "Job", "Plugin", "Repository")
"""What people write, in the order in which it is applied; the controller writes the others."""


def plural_of(kind: str) -> str:
    """Return a kind as paths have it: App as apps, Repository as repositories."""
    word = kind.lower()
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("x", "s")) else f"{word}s"


class InvalidObject(SteersmanError):
    """Plain data is not an object of the API."""


def parse_object(data: Mapping[str, Any]) -> AnyObject:
    """Return the object that `data` (camelCase keys, as `dump_object` gives) describes.

    Raises InvalidObject. Manifests go through `steersman.manifests`, which knows the lines.
    """
    kind = data.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise InvalidObject(f"kind {kind!r} is not known; it must be one of {', '.join(KINDS)}")
    try:
        return model.model_validate(dict(data), by_alias=True, by_name=False)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors(include_input=False, include_context=False)
        )
        raise InvalidObject(f"the {kind} is not valid: {faults}; see `steer schema`") from error


def dump_object(obj: AnyObject) -> dict[str, Any]:
    """Return `obj` as plain JSON data with camelCase keys; what is not set is left out."""
    data: dict[str, Any] = obj.model_dump(mode="json", by_alias=True, exclude_none=True)
    return data
