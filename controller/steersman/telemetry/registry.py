"""Which series of samples there are: found by name and labels, and bounded in number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from steersman.api.signals import Sample

Kind = Literal["gauge", "counter"]
Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]

MOST_NAME = 200
MOST_LABELS = 32
MOST_LABEL_BYTES = 2000
REST = 600.0
"""Seconds without a sample after which a series may make room for a new one."""


@dataclass(slots=True)
class Entry:
    """A series; `last` is its newest value and `seen` the time of that."""

    id: int
    name: str
    labels: Mapping[str, str]
    kind: Kind
    last: float
    seen: float

    @property
    def key(self) -> Key:
        return self.name, tuple(sorted(self.labels.items()))

    def matches(self, match: Mapping[str, str]) -> bool:
        return all(self.labels.get(label, "") == value for label, value in match.items())


class Registry:
    """Every series by its key. One app has at most a quarter of the `most` that there may be."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[Key, Entry] = {}
        self._by_name: dict[str, dict[int, Entry]] = {}
        self._by_app: Counter[str] = Counter()
        self._last_id = 0
        self._rested = 0.0
        self.forgotten: list[int] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, sample: Sample) -> Entry | None:
        """Return the series of a sample, a new one if need be; None when there are too many."""
        key = (sample.name, tuple(sorted(sample.labels.items())))
        found = self._entries.get(key)
        if found is not None:
            return found
        app = sample.labels.get("app", "")
        if app and self._by_app[app] >= self._most // 4:
            return None
        if not _is_text(key) or not self._has_room(sample.time):
            return None
        self._last_id += 1
        # A counter is first seen with its first value: from where it came is not known.
        made = Entry(self._last_id, *key[:1], dict(key[1]), sample.kind, math.nan, -math.inf)
        self._add(made)
        return made

    def remember(self, entries: Iterable[Entry], last_id: int) -> None:
        """Take up series that were stored; no new one gets an id up to `last_id`."""
        self._last_id = max(self._last_id, last_id)
        for entry in entries:
            if len(self._entries) < self._most:
                self._add(entry)

    def named(self, name: str, match: Mapping[str, str]) -> list[Entry]:
        return [one for one in self._by_name.get(name, {}).values() if one.matches(match)]

    def names(self) -> Mapping[str, Kind]:
        """Return each name with its kind, sorted."""
        found = {name: next(iter(these.values())).kind for name, these in self._by_name.items()}
        return dict(sorted(found.items()))

    def forget_before(self, time: float) -> None:
        """Forget the series that were last seen before `time`."""
        for entry in [each for each in self if each.seen < time]:
            self._forget(entry)

    def _has_room(self, now: float) -> bool:
        if len(self._entries) < self._most:
            return True
        # Looking through all of them is for once in a while, not for each sample of a flood.
        if now - self._rested < 10.0:
            return False
        self._rested = now
        resting = sorted((each.seen, each.id, each) for each in self if each.seen < now - REST)
        for _, _, entry in resting[: max(1, self._most // 20)]:
            self._forget(entry)
        return len(self._entries) < self._most

    def _add(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        self._by_name.setdefault(entry.name, {})[entry.id] = entry
        self._by_app[entry.labels.get("app", "")] += 1

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.key]
        self.forgotten.append(entry.id)
        self._by_app[entry.labels.get("app", "")] -= 1
        these = self._by_name[entry.name]
        del these[entry.id]
        if not these:
            del self._by_name[entry.name]


def is_sound(sample: Sample) -> bool:
    """Return whether a sample is a finite value with a name and labels of a decent size."""
    if not (math.isfinite(sample.value) and math.isfinite(sample.time)):
        return False
    if not 0 < len(sample.name) <= MOST_NAME or len(sample.labels) > MOST_LABELS:
        return False
    size = sum(len(label) + len(value) for label, value in sample.labels.items())
    return size <= MOST_LABEL_BYTES


def _is_text(key: Key) -> bool:
    """Return whether names and labels can be written: what apps say may hold half a character."""
    try:
        "".join([key[0], *(part for label in key[1] for part in label)]).encode()
    except UnicodeEncodeError:
        return False
    return True
