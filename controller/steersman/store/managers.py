"""Who manages which fields: what `put` takes over, and how `apply` merges."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self

from steersman.store.errors import FieldConflict, OwnedField
from steersman.store.fields import (
    Fields,
    Path,
    decoded,
    dotted,
    encoded,
    fields_of,
    with_field,
    without_field,
)
from steersman.store.plain import is_same, parsed, text_of
from steersman.store.protocol import Object

Operation = Literal["Apply", "Update"]


class Owner(NamedTuple):
    """A manager in one of its two ways: what it applies, it also gives up by not naming it."""

    manager: str
    operation: Operation


@dataclass(frozen=True)
class Entry:
    """One entry of `metadata.managedFields`."""

    fields: frozenset[Path]
    api_version: str
    time: str


class Managers:
    """`metadata.managedFields` of one object, while it changes."""

    def __init__(self, entries: Mapping[Owner, Entry]) -> None:
        self._entries = dict(entries)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read the JSON of `metadata.managedFields`."""
        return cls(
            {
                Owner(one["manager"], one["operation"]): Entry(
                    decoded(one["fieldsV1"]), one["apiVersion"], one["time"]
                )
                for one in parsed(text)
            }
        )

    @property
    def text(self) -> str:
        entries = [
            {
                "manager": owner.manager,
                "operation": owner.operation,
                "apiVersion": entry.api_version,
                "time": entry.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": encoded(entry.fields),
            }
            for owner, entry in sorted(self._entries.items())
        ]
        return text_of(entries).decode()

    def of(self, owner: Owner) -> frozenset[Path]:
        entry = self._entries.get(owner)
        return entry.fields if entry is not None else frozenset()

    def others(self, manager: str) -> dict[Owner, frozenset[Path]]:
        """Return what everybody but `manager` owns."""
        return {o: e.fields for o, e in self._entries.items() if o.manager != manager}

    def give(self, owner: Owner, entry: Entry) -> None:
        """Let `owner` own exactly what `entry` says."""
        if entry.fields:
            self._entries[owner] = entry
        else:
            self._entries.pop(owner, None)

    def take(self, fields: Iterable[Path], keeper: Owner | None = None) -> None:
        """Let nobody but `keeper` own any of `fields`."""
        taken = frozenset(fields)
        for owner, entry in list(self._entries.items()):
            if owner != keeper and not taken.isdisjoint(entry.fields):
                self.give(owner, replace(entry, fields=entry.fields - taken))


def after_update(managed: str, seen: Object | None, made: Object, manager: str, now: str) -> str:
    """Return the managedFields once `manager` has replaced `seen` by `made`."""
    before = fields_of(seen) if seen is not None else {}
    after = fields_of(made)
    changed = {path for path, value in after.items() if _differs(before, path, value)}
    removed = before.keys() - after.keys()
    if not changed and not removed:
        return managed
    managers = Managers.read(managed)
    me = Owner(manager, "Update")
    managers.take(changed | removed)
    if changed:
        managers.give(me, Entry(managers.of(me) | changed, made["apiVersion"], now))
    return managers.text


@dataclass(frozen=True)
class Merged:
    """What an apply makes of an object, and its managedFields then."""

    object: Object
    managed: str


def merge(
    managed: str, seen: Object, target: Object, manager: str, force: bool, now: str
) -> Merged:
    """Return `seen` with what `manager` applies; raises FieldConflict unless `force`.

    `seen` is the caller's own copy and is changed.
    """
    managers, me = Managers.read(managed), Owner(manager, "Apply")
    live, wanted = fields_of(seen), fields_of(target)
    touched = _touched(live, wanted)
    others = managers.others(manager)
    conflicts = sorted(
        {(path, owner.manager) for path in touched for owner, own in others.items() if path in own}
    )
    if conflicts and not force:
        named = [OwnedField(dotted(path), owner) for path, owner in conflicts]
        raise FieldConflict(seen["kind"], seen["metadata"]["name"], named)
    kept = frozenset().union(*others.values()) - touched
    given_up = managers.of(me) - wanted.keys() - kept
    for path in sorted(given_up & live.keys(), key=len, reverse=True):
        without_field(seen, path, kept)
    for path, value in wanted.items():
        with_field(seen, path, value)
    managers.take(touched | given_up, keeper=me)
    if managers.of(me) != wanted.keys() or any(_differs(live, *one) for one in wanted.items()):
        managers.give(me, Entry(frozenset(wanted), target["apiVersion"], now))
    return Merged(seen, managers.text)


def _touched(live: Fields, wanted: Fields) -> set[Path]:
    """Return the live fields that would not be as they are: changed, or swept away."""
    changed = {path for path, value in wanted.items() if _differs(live, path, value)}
    maps = {path for path in changed if wanted[path] == {}}
    above = {path[:depth] for path in changed for depth in range(1, len(path))}
    swept = {path for path in above & live.keys() if live[path] != {}}
    below = {
        path
        for path in live
        if any(path[:depth] in changed - maps for depth in range(1, len(path)))
    }
    return (changed & live.keys()) | swept | below


def _differs(fields: Fields, path: Path, value: Any) -> bool:
    return path not in fields or not is_same(fields[path], value)
