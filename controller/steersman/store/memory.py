"""A store in this process's memory, for tests: SQLite's promises, but that of surviving it."""

import os
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from steersman.store.errors import Compacted, LeaseHeld, LeaseLost
from steersman.store.feed import Feed
from steersman.store.happenings import FOLD_WITHIN, KEPT_PER_OBJECT, forget, record, stamp
from steersman.store.objects import Answer, as_before
from steersman.store.pages import Key, Place, order, page_of
from steersman.store.plain import parsed, text_of
from steersman.store.protocol import (
    EVERYTHING,
    Change,
    ChangeType,
    Event,
    Lease,
    Object,
    Page,
    Query,
    Stored,
    Watch,
)
from steersman.store.selectors import Selector
from steersman.store.tables import Logged, Row
from steersman.store.verbs import Verb, Verbs
from steersman.store.watcher import Watcher


@dataclass(frozen=True)
class _Held:
    """An object as it is held: texts, so that everybody reads a copy."""

    body: bytes
    managed: str

    @property
    def row(self) -> Row:
        return Row(parsed(self.body), self.body, self.managed)


@dataclass(frozen=True)
class _Entry:
    logged: Logged
    before: _Held | None


class _Draft:
    """A `Table` whose changes are there only once they are taken over."""

    def __init__(self, held: Mapping[Key, _Held], revision: int) -> None:
        self._held = held
        self.revision = revision
        self.changed: dict[Key, _Held | None] = {}
        self.entries: list[_Entry] = []
        self.wiped: set[str] = set()

    def row(self, kind: str, name: str) -> Row | None:
        held = self._at((kind, name))
        return held.row if held is not None else None

    def dependents(self, owner: Row) -> Sequence[Row]:
        keys = sorted({**self._held, **self.changed})
        rows = (held.row for key in keys if (held := self._at(key)) is not None)
        return [row for row in rows if any(map(owner.is_meant_by, row.owners))]

    def write(self, type_: ChangeType, obj: Object, managed: str) -> Row:
        kind, name = key = obj["kind"], obj["metadata"]["name"]
        before = self._at(key)
        self.revision += 1
        made = {**obj, "metadata": {**obj["metadata"], "resourceVersion": self.revision}}
        held = _Held(text_of(made), managed)
        change = Change(type_, self.revision, kind, name, held.body, managed)
        self.changed[key] = held if type_ != "DELETED" else None
        was = before.body if before is not None else None
        self.entries.append(_Entry(Logged(change, was), before))
        return held.row

    def wipe_secret(self, name: str) -> None:
        self.wiped.add(name)

    @property
    def log(self) -> list[Logged]:
        return [entry.logged for entry in self.entries]

    def _at(self, key: Key) -> _Held | None:
        return self.changed[key] if key in self.changed else self._held.get(key)


class MemoryStore(Verbs):
    """A `Store` for tests. It keeps the newest `keep` changes."""

    is_writing = False

    def __init__(
        self, clock: Callable[[], datetime] = lambda: datetime.now(UTC), keep: int = 10_000
    ) -> None:
        self._clock = clock
        self._keep = keep
        self._held: dict[Key, _Held] = {}
        self._log: dict[int, _Entry] = {}
        self._revision = self._compacted = 0
        self._feed = Feed(self)
        self._events: list[Event] = []
        self._last_event = self._epoch = 0
        self._leases: dict[str, tuple[Lease, float]] = {}
        self._key = secrets.token_bytes(32)
        self._secrets: dict[str, dict[str, str]] = {}

    async def close(self) -> None:
        self._feed.close()

    async def revision(self) -> int:
        return self._revision

    async def get(self, kind: str, name: str) -> Stored | None:
        held = self._held.get((kind, name))
        return held.row.stored() if held is not None else None

    async def list(self, kind: str, selector: Selector | None = None) -> tuple[Stored, ...]:
        keys = sorted((key for key in self._held if key[0] == kind), key=order)
        found = (self._held[key].row.stored() for key in keys)
        return tuple(one for one in found if selector is None or selector.matches(one.labels))

    async def page(
        self, query: Query = EVERYTHING, limit: int | None = None, token: str | None = None
    ) -> Page:
        place = Place.read(token) if token is not None else None
        revision = place.revision if place is not None else self._revision
        self._check_kept(revision)
        held: dict[Key, _Held | None] = {**self._held}
        # Backwards, so that what an object was first is what stays.
        for number in range(self._revision, revision, -1):
            change = self._log[number].logged.change
            held[change.kind, change.name] = self._log[number].before
        wanted = {
            key: one
            for key, one in held.items()
            if one is not None and (query.kinds is None or key[0] in query.kinds)
        }
        after = place.after if place is not None else None
        return page_of(wanted, lambda one: one.row.stored(), query, revision, limit, after)

    def watch(self, since: int, query: Query = EVERYTHING, idle: float = 30.0) -> Watch:
        return Watcher(self._feed, since, query, idle)

    async def compact(self, keep: int = 0) -> int:
        return self._forget_all_but(keep)

    def _forget_all_but(self, keep: int) -> int:
        self._compacted = max(self._compacted, self._revision - keep)
        self._log = {number: one for number, one in self._log.items() if number > self._compacted}
        return self._compacted

    async def add_event(
        self,
        kind: str,
        name: str,
        type: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        host: str | None = None,
    ) -> Event:
        now = self._clock()
        same = (kind, name, type, reason, message, host)
        since = stamp(now - FOLD_WITHIN)
        for known in reversed(self._events):
            if _says(known) == same and known.last >= since:
                event = replace(known, count=known.count + 1, last=stamp(now))
                self._events.remove(known)
                break
        else:
            self._last_event += 1
            event = Event(self._last_event, *same, 1, stamp(now), stamp(now))
        self._events.append(event)
        draft = _Draft(self._held, self._revision)
        record(draft, event)
        mine = [each for each in self._events if (each.kind, each.name) == (kind, name)]
        for old in mine[:-KEPT_PER_OBJECT]:
            self._events.remove(old)
            forget(draft, name, old.id)
        self._take_over(draft)
        return event

    async def events(
        self, kind: str | None = None, name: str | None = None, limit: int = 50
    ) -> tuple[Event, ...]:
        found = [e for e in self._events if kind in (None, e.kind) and name in (None, e.name)]
        return tuple(found[-limit:])

    async def next_epoch(self, at_least: int = 1) -> int:
        self._epoch = max(self._epoch + 1, at_least)
        return self._epoch

    async def acquire_lease(self, name: str, holder: str, ttl: float = 60.0) -> Lease:
        if await self.is_leased(name):
            held = self._leases[name][0]
            raise LeaseHeld(name, held.holder, held.pid)
        lease = Lease(name, holder, os.getpid(), uuid.uuid4().hex)
        self._leases[name] = lease, time.monotonic() + ttl
        return lease

    async def is_leased(self, name: str) -> bool:
        return name in self._leases and self._leases[name][1] > time.monotonic()

    async def renew_lease(self, lease: Lease, ttl: float = 60.0) -> None:
        if not self._has(lease):
            raise LeaseLost(lease.name)
        self._leases[lease.name] = lease, time.monotonic() + ttl

    async def release_lease(self, lease: Lease) -> None:
        if self._has(lease):
            del self._leases[lease.name]

    async def key(self) -> bytes:
        return self._key

    async def put_secret(self, name: str, values: Mapping[str, str]) -> bool:
        is_new = self._secrets.get(name, {}) != dict(values)
        self._secrets[name] = dict(values)
        return is_new

    async def get_secret(self, name: str) -> Mapping[str, str] | None:
        return dict(self._secrets.get(name, {})) or None

    async def start(self) -> None:
        """Let the feed hear of every change from now on: the store is its own feed's source."""
        self._feed.begin(self._revision)

    async def changes_after(self, since: int, limit: int) -> Sequence[Logged]:
        """Read the log for the feed."""
        self._check_kept(since)
        until = min(self._revision, since + limit)
        return [self._log[number].logged for number in range(since + 1, until + 1)]

    async def _change(self, verb: Verb[Answer], dry_run: bool) -> Answer:
        now = self._clock().isoformat(timespec="seconds").replace("+00:00", "Z")
        draft = _Draft(self._held, self._revision)
        answer = verb(draft, now)
        if dry_run:
            return as_before(answer, draft.log)
        self._take_over(draft)
        return answer

    def _take_over(self, draft: _Draft) -> None:
        for name in draft.wiped:
            self._secrets.pop(name, None)
        changed = {**self._held, **draft.changed}
        self._held = {key: held for key, held in changed.items() if held is not None}
        self._log.update({entry.logged.change.revision: entry for entry in draft.entries})
        self._revision = draft.revision
        if len(self._log) > self._keep:
            self._forget_all_but(self._keep)
        if self._feed.is_running:
            self._feed.publish(draft.log, self._revision)

    def _has(self, lease: Lease) -> bool:
        return lease.name in self._leases and self._leases[lease.name][0] == lease

    def _check_kept(self, revision: int) -> None:
        if not self._compacted <= revision <= self._revision:
            raise Compacted(revision, self._compacted, self._revision)


def _says(event: Event) -> tuple[str, str, Literal["Normal", "Warning"], str, str, str | None]:
    return event.kind, event.name, event.type, event.reason, event.message, event.host
