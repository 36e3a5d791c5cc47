"""Adoption: apps and releases that were forgotten, known again from what their hosts hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from steersman.api.app import App, AppStatus, ProcessStatus
from steersman.api.errors import SteersmanError
from steersman.api.meta import API_VERSION, READY, Condition, ObjectMeta
from steersman.api.names import release_name
from steersman.api.objects import InvalidObject, dump_object, parse_object
from steersman.api.release import Release, ReleaseStatus
from steersman.control.hosts import HostLink
from steersman.control.memory import Memory
from steersman.control.release import ADOPTED, COMMAND_DONE, SCALE
from steersman.control.session import Session
from steersman.planning.seen import HostSeen, parse_unit

Record = Mapping[str, Any]


class NotAdopted(SteersmanError):
    """An app that hosts hold stays unknown."""

    def __init__(self, app: str, why: str) -> None:
        super().__init__(f"app {app} was not adopted: {why}")


@dataclass(frozen=True, slots=True)
class Adopted:
    """What is known again, and why something is not."""

    apps: tuple[App, ...] = ()
    releases: tuple[Release, ...] = ()
    errors: tuple[SteersmanError, ...] = ()


@dataclass(frozen=True, slots=True)
class _Held:
    """What one host holds of one app."""

    host: str
    seen: HostSeen
    records: Mapping[str, Record]


class Adoption:
    """Asks hosts that are known what they hold. It changes nothing on them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._memory: Memory = session.memory

    async def adopt(self, names: Sequence[str]) -> Adopted:
        """Remember every app of the named hosts that is not known, with its releases.

        Such an app is left alone until its manifest is applied, because hosts do not know all of
        it: its routes, say, may have changed after its last release.
        """
        links, lost = await self._session.connect_all(names, await self._memory.hosts())
        held: dict[str, list[_Held]] = {}
        for link, seen in zip(links.values(), await _looked(links.values()), strict=True):
            for name in (name for name, app in seen.apps.items() if app.releases):
                held.setdefault(name, []).append(await _ask(link, name, seen))
        epochs = [int(link.hello.get("epoch") or 0) for link in links.values()]
        await self._memory.store.next_epoch(1 + max([0, *epochs]))
        known = await self._memory.apps()
        apps, releases, errors = list[App](), list[Release](), [*lost.values()]
        for name in sorted(held.keys() - known.keys()):
            try:
                app, made = await self._adopt(name, held[name])
            except SteersmanError as error:
                errors.append(error)
                continue
            apps.append(app)
            releases += made
        return Adopted(tuple(apps), tuple(releases), tuple(errors))

    async def _adopt(self, name: str, held: Sequence[_Held]) -> tuple[App, list[Release]]:
        found = _Found(name, held)
        await self._memory.store.put(dump_object(found.app()))
        app = await self._memory.app(name)
        releases = [release.model_copy(update={"metadata": _owned(release, app)})
                    for release in found.releases()]  # fmt: skip
        for release in releases:
            await self._memory.put_release(release)
            await self._memory.set_release_status(release, found.release_status(release))
        await self._memory.set_app_status(app, found.status(app))
        hosts = ", ".join(each.host for each in held)
        await self._memory.note("App", name, "Adopted", f"app {name} was found on {hosts}")
        return await self._memory.app(name), releases


class _Found:
    """One app, put together from what each of its hosts holds of it."""

    def __init__(self, name: str, held: Sequence[_Held]) -> None:
        self._name = name
        self._held = held
        self._current = {
            each.host: number
            for each in held
            if (number := each.seen.app(name).current_number) is not None
        }
        self._records = _records(name, held, self._current)
        # What serves somewhere has proved more than what was only brought there.
        self._serving = max(self._current.values(), default=max(self._records))

    def app(self) -> App:
        """Return the app as its newest release knew it, with the counts that really run."""
        told = self._records[self._serving]["memory"]["app"]
        try:
            app = parse_object({**told, "apiVersion": API_VERSION, "kind": "App"})
        except InvalidObject as error:
            raise NotAdopted(self._name, f"{error}; apply its manifest") from error
        if not isinstance(app, App) or app.name != self._name:
            raise NotAdopted(self._name, "its hosts tell of another app; apply its manifest")
        annotations = {
            **app.metadata.annotations,
            ADOPTED: datetime.now(UTC).isoformat("T", "seconds"),
        }
        if not app.spec.processes:
            scaled = " ".join(f"{p}={n}" for p, n in sorted(self._least().items()) if n != 1)
            annotations |= {SCALE: scaled} if scaled else {}
        processes = {
            name: process.scaled(counted)
            if (counted := self._count(name, is_spread=process.replicas is not None)) is not None
            else process
            for name, process in app.spec.processes.items()
        }
        metadata = app.metadata.model_copy(update={"annotations": annotations})
        spec = app.spec.model_copy(update={"processes": processes})
        return app.model_copy(update={"metadata": metadata, "spec": spec})

    def releases(self) -> list[Release]:
        """Return every release that a host holds, oldest first."""
        made = []
        for number, record in sorted(self._records.items()):
            meta = ObjectMeta(name=release_name(self._name, number), annotations={ADOPTED: ""})
            spec = record["memory"]["release"]
            data = {"kind": "Release", "metadata": meta.model_dump(by_alias=True), "spec": spec}
            release = parse_object(data)
            if isinstance(release, Release):
                made.append(release)
        return made

    def release_status(self, release: Release) -> ReleaseStatus:
        """Return the state that a release must be in, as hosts hold it so."""
        number = release.spec.number
        hosts = sorted(host for host, current in self._current.items() if current == number)
        if number < self._serving:
            return ReleaseStatus(state="superseded")
        # It is under way for as long as a host has not come to it.
        is_everywhere = len(hosts) == len(self._current) and bool(hosts)
        done = [_condition(COMMAND_DONE, "True", "Adopted", hosts[0])] if hosts else []
        return ReleaseStatus(
            state="deployed" if is_everywhere else "pending", conditions=tuple(done)
        )

    def status(self, app: App) -> AppStatus:
        spec = next(r.spec for r in self.releases() if r.spec.number == self._serving)
        message = f"apply the manifest of app {app.name}: hosts do not know all of it"
        return AppStatus(
            observed_generation=app.metadata.generation,
            conditions=(_condition(READY, "Unknown", "Adopted", message),),
            release=self._serving if self._current else None,
            latest_release=max(self._records),
            commit=spec.commit,
            hosts=tuple(sorted(each.host for each in self._held)),
            processes=tuple(
                ProcessStatus(host=host, process=process, release=number, desired=n, ready=n)
                for host, number in sorted(self._current.items())
                for process, n in sorted(self._running()[host].items())
            ),
        )

    def _running(self) -> dict[str, Counter[str]]:
        """Return how many instances of each process of its current release a host runs."""
        found: dict[str, Counter[str]] = {}
        for each in self._held:
            names = [parse_unit(unit) for unit in each.seen.units_of(self._name)]
            found[each.host] = Counter(
                name.process
                for name in names
                if name is not None
                and name.instance is not None
                and name.part is None
                and name.number == self._current.get(each.host)
            )
        return found

    def _count(self, process: str, *, is_spread: bool) -> int | None:
        counts = [running[process] for running in self._running().values()]
        if is_spread:
            return sum(counts)
        return counts[0] if len(set(counts)) == 1 else None

    def _least(self) -> dict[str, int]:
        names = {name for running in self._running().values() for name in running}
        return {name: min(r[name] for r in self._running().values()) for name in names}


def _records(app: str, held: Sequence[_Held], current: Mapping[str, int]) -> dict[int, Record]:
    """Return the releases by their numbers; raises NotAdopted when there are none to be known."""
    found: dict[int, Record] = {}
    for each in held:
        serving = f"{each.seen.app(app).current or ''}".removeprefix("releases/")
        for name, record in each.records.items():
            number = record.get("number")
            if not isinstance(number, int) or "memory" not in record:
                continue
            # Two controllers may have made one number: what serves is what counts.
            if number not in found or name == serving:
                found[number] = record
    if not found or (current and max(current.values()) not in found):
        raise NotAdopted(
            app,
            "its releases on "
            f"{', '.join(each.host for each in held)} were made by an older steersman, which noted"
            " too little there; apply its manifest, which makes a new release",
        )
    return found


async def _looked(links: Any) -> list[HostSeen]:
    return list(await asyncio.gather(*(link.observe() for link in links)))


async def _ask(link: HostLink, app: str, seen: HostSeen) -> _Held:
    reply = await link.link.call("records", app=app)
    return _Held(link.name, seen, dict(reply.header["releases"]))


def _owned(release: Release, app: App) -> ObjectMeta:
    return release.metadata.model_copy(update={"owner_references": (app.ref,)})


def _condition(type_: str, status: Any, reason: str, message: str) -> Condition:
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=datetime.now(UTC),
    )
