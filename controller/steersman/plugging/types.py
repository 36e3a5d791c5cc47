"""Which types of plugins are installed: entry points, told without importing any of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from steersman.api.errors import SteersmanError

GROUP = "steersman.plugins"


class NotInstalled(SteersmanError):
    """There is no plugin of a type where the controller runs."""

    def __init__(self, type_: str, known: tuple[str, ...]) -> None:
        close = difflib.get_close_matches(type_, known, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        super().__init__(
            f"there is no plugin of type {type_!r} where the controller runs; {meant}installed are"
            f" {', '.join(known) or 'none'}, and a distribution with an entry point in"
            f" {GROUP!r} adds one"
        )


@dataclass(frozen=True, slots=True)
class Installed:
    """A type, and which distribution brings it."""

    type: str
    distribution: str
    version: str


def installed() -> tuple[Installed, ...]:
    """Return every installed type by its name."""
    return tuple(_told(each) for each in sorted(_points(), key=lambda point: point.name))


def find(type_: str) -> EntryPoint:
    """Return the entry point of a type; raises NotInstalled."""
    points = {point.name: point for point in _points()}
    if type_ not in points:
        raise NotInstalled(type_, tuple(sorted(points)))
    return points[type_]


def _points() -> Iterator[EntryPoint]:
    """Yield one entry point for each type: whichever comes first on sys.path."""
    yield from {point.name: point for point in reversed([*entry_points(group=GROUP)])}.values()


def _told(point: EntryPoint) -> Installed:
    found = point.dist
    name, version = (found.name, found.version) if found is not None else ("", "")
    return Installed(point.name, name, version)
