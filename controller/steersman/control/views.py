"""What a daemon remembers at hand: every object parsed once, and found without a search."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from steersman.api.app import App
from steersman.api.host import Host
from steersman.api.job import Job
from steersman.api.objects import parse_object
from steersman.api.release import Release
from steersman.planning.fleet import Fleet
from steersman.store.errors import Compacted
from steersman.store.protocol import Change, Object, Query, Store

KINDS = ("App", "Host", "Job", "Release")


class Views:
    """Objects by kind and name, as they are at the store's newest revision when asked.

    Asking costs one look at the revision, and then what has changed since, whatever is stored:
    thousands of apps are looked after at a cost that grows with what they do and not with their
    number squared. What is returned belongs to the views and is not to be changed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revision = -1
        self._updating = asyncio.Lock()
        self.apps: dict[str, App] = {}
        self._hosts: dict[str, Host] = {}
        self._fleet: Fleet | None = None
        self.jobs: dict[str, Job] = {}
        self._releases: dict[str, dict[int, Release]] = {}
        self._on_host: dict[str, set[str]] = {}

    async def fresh(self) -> Views:
        """Return these views with every change in them that was committed before the call."""
        if await self._store.revision() != self._revision:
            async with self._updating:
                # Asked again: whoever was first may have brought these beyond what we saw.
                await self._update(await self._store.revision())
        return self

    @property
    def hosts(self) -> Fleet:
        """All hosts, as they are; a later change makes another one."""
        if self._fleet is None:
            self._fleet = Fleet(self._hosts)
        return self._fleet

    def every_release(self) -> list[Release]:
        return [each for found in self._releases.values() for each in found.values()]

    def releases_of(self, app: str) -> list[Release]:
        """Return the releases of an app, oldest first."""
        found = self._releases.get(app, {})
        return [found[number] for number in sorted(found)]

    def apps_on(self, host: str) -> list[str]:
        """Return the apps that a host holds something of, as far as is known."""
        return sorted(self._on_host.get(host, ()))

    async def _update(self, revision: int) -> None:
        if self._revision < 0 or revision < self._revision:
            await self._read_all()
        while self._revision < revision:
            try:
                await self._follow(revision)
            except Compacted:
                await self._read_all()

    async def _read_all(self) -> None:
        page = await self._store.page(Query.of(*KINDS))
        for view in (self.apps, self._hosts, self.jobs, self._releases, self._on_host):
            view.clear()
        self._fleet = None
        for stored in page.items:
            self._take(stored.object)
        self._revision = page.revision

    async def _follow(self, revision: int) -> None:
        """Take in the changes up to `revision`, which are all committed."""
        async with aclosing(self._store.watch(self._revision)) as changes:
            async for change in changes:
                self._take_change(change)
                self._revision = change.revision
                if self._revision >= revision:
                    return

    def _take_change(self, change: Change) -> None:
        if change.kind not in KINDS:
            return
        if change.type == "DELETED":
            self._drop(change.kind, change.name)
        else:
            self._take(change.object)

    def _take(self, data: Object) -> None:
        obj = parse_object(data)
        self._drop(obj.kind, obj.name)
        match obj:
            case App():
                self.apps[obj.name] = obj
                for host in obj.status.hosts:
                    self._on_host.setdefault(host, set()).add(obj.name)
            case Host():
                self._hosts[obj.name] = obj
            case Job():
                self.jobs[obj.name] = obj
            case Release():
                self._releases.setdefault(obj.spec.app, {})[obj.spec.number] = obj

    def _drop(self, kind: str, name: str) -> None:
        if kind == "App":
            known = self.apps.pop(name, None)
            for host in known.status.hosts if known is not None else ():
                self._on_host.get(host, set()).discard(name)
        elif kind == "Release":
            app, _, number = name.rpartition("-")
            if number.isdigit():
                self._releases.get(app, {}).pop(int(number), None)
        elif kind == "Host":
            self._hosts.pop(name, None)
            self._fleet = None
        else:
            self.jobs.pop(name, None)
