"""The store in the words of the api: objects in, objects out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from steersman.api.app import App, AppStatus
from steersman.api.errors import SteersmanError
from steersman.api.host import CORDON, Host, HostStatus
from steersman.api.job import Job, JobStatus
from steersman.api.meta import Conditions, Object
from steersman.api.names import release_name
from steersman.api.objects import MANIFEST_KINDS, AnyObject, dump_object, parse_object
from steersman.api.release import Release, ReleaseState, ReleaseStatus
from steersman.api.secret import SecretStatus
from steersman.control.marks import APPLY, changed, merged
from steersman.control.release import refuse_unconfirmed
from steersman.control.views import Views
from steersman.store.protocol import Store, Stored

AnyStatus = AppStatus | HostStatus | JobStatus | ReleaseStatus | SecretStatus
Marked = TypeVar("Marked", bound=Object)


class NotFound(SteersmanError):
    """There is no such object."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"{kind.lower()} {name} is not known; `steer get {kind.lower()}s` lists them"
        )


class Memory:
    """What the controller remembers."""

    def __init__(self, store: Store) -> None:
        self.store = store
        # By kind and name: parsing is most of what reading costs, and most objects stay.
        self._parsed: dict[tuple[str, str], tuple[int, AnyObject]] = {}
        self._views: Views | None = None

    def keep_views(self) -> None:
        """Keep every object at hand from now on: for whoever asks again and again."""
        self._views = Views(self.store)

    def _parse(self, stored: Stored) -> AnyObject:
        key = stored.kind, stored.name
        known = self._parsed.get(key)
        if known is None or known[0] != stored.resource_version:
            known = self._parsed[key] = stored.resource_version, parse_object(stored.object)
        return known[1]

    def _app(self, stored: Stored) -> App:
        obj = self._parse(stored)
        if not isinstance(obj, App):
            raise NotFound("App", stored.name)
        return obj

    def _host(self, stored: Stored) -> Host:
        obj = self._parse(stored)
        if not isinstance(obj, Host):
            raise NotFound("Host", stored.name)
        return obj

    async def hosts(self) -> Mapping[str, Host]:
        if self._views is not None:
            return (await self._views.fresh()).hosts
        return {h.name: h for h in [self._host(s) for s in await self.store.list("Host")]}

    async def apps(self) -> dict[str, App]:
        if self._views is not None:
            return dict((await self._views.fresh()).apps)
        return {a.name: a for a in [self._app(s) for s in await self.store.list("App")]}

    async def apps_on(self, host: str) -> list[str]:
        """Return the names of the apps that a host holds something of, as far as is known."""
        if self._views is not None:
            return (await self._views.fresh()).apps_on(host)
        return sorted(a.name for a in (await self.apps()).values() if host in a.status.hosts)

    async def app(self, name: str) -> App:
        stored = await self.store.get("App", name)
        if stored is None:
            raise NotFound("App", name)
        return self._app(stored)

    async def host(self, name: str) -> Host:
        stored = await self.store.get("Host", name)
        if stored is None:
            raise NotFound("Host", name)
        return self._host(stored)

    async def jobs(self, app: str | None = None) -> list[Job]:
        """Return the jobs of `app`, or all, by name."""
        if self._views is not None:
            jobs = (await self._views.fresh()).jobs.values()
            return sorted((j for j in jobs if app in (None, j.spec.app)), key=lambda job: job.name)
        found = [self._parse(s) for s in await self.store.list("Job")]
        return [j for j in found if isinstance(j, Job) and app in (None, j.spec.app)]

    async def job(self, name: str) -> Job:
        found = next((job for job in await self.jobs() if job.name == name), None)
        if found is None:
            raise NotFound("Job", name)
        return found

    async def job_as_applied(self, job: Job) -> Job:
        """Return `job` as it would be remembered: its generation says whether it runs once more."""
        stored = await self.store.get("Job", job.name)
        if stored is None:
            return job
        known = await self.job(job.name)
        is_new = known.spec != job.spec
        generation = known.metadata.generation + is_new
        metadata = known.metadata.model_copy(update={"generation": generation})
        return job.model_copy(update={"metadata": metadata, "status": known.status})

    async def set_job_status(self, job: Job, status: JobStatus) -> None:
        await self._put_status("Job", job.name, status)

    async def releases(self, app: str) -> list[Release]:
        """Return the releases of `app`, oldest first."""
        if self._views is not None:
            return (await self._views.fresh()).releases_of(app)
        mine = [release for release in await self.every_release() if release.spec.app == app]
        return sorted(mine, key=lambda release: release.spec.number)

    async def every_release(self) -> list[Release]:
        """Return the releases of all apps, in no order."""
        if self._views is not None:
            return (await self._views.fresh()).every_release()
        stored = [self._parse(s) for s in await self.store.list("Release")]
        return [each for each in stored if isinstance(each, Release)]

    async def put(self, obj: AnyObject) -> str:
        """Remember what somebody wants; return created, configured or unchanged."""
        obj = await self.with_our_annotations(obj)
        return (await self.store.put(dump_object(obj), manager=APPLY)).change

    async def put_whole(
        self, obj: AnyObject, expected: int, manager: str, *, is_dry: bool = False
    ) -> str:
        """Remember an object exactly so; raises Conflict unless it was read at `expected`."""
        stored = await self.store.put(dump_object(obj), expected, manager=manager, dry_run=is_dry)
        return stored.change

    async def find(self, kind: str, name: str) -> AnyObject | None:
        """Return an object of any kind, None if there is none."""
        stored = await self.store.get(kind, name)
        return None if stored is None else self._parse(stored)

    async def everything(self) -> list[AnyObject]:
        """Return every object of the kinds that people write."""
        return [self._parse(s) for kind in MANIFEST_KINDS for s in await self.store.list(kind)]

    async def with_our_annotations(self, obj: Marked) -> Marked:
        """Return `obj` as it is put: a manifest undoes no scale, cordon or rollout verb, takes
        nothing out of an inventory, and leaves labels and annotations that others set. Finalizers
        and owners stay unless it names its own."""
        stored = await self.store.get(obj.kind, obj.name)
        if stored is None:
            return obj
        return merged(obj, self._parse(stored).metadata, stored)

    async def as_applied(self, app: App, status: AppStatus) -> App:
        """Return `app` as it would be remembered, with the status that it has."""
        return (await self.with_our_annotations(app)).model_copy(update={"status": status})

    async def set_counts(self, app: App, counts: Mapping[str, int]) -> None:
        """Change how many instances an app's processes have: on each host, or in all.

        Raises NotConfirmed.
        """
        refuse_unconfirmed(app)
        processes = {
            name: process.scaled(counts[name]) if name in counts else process
            for name, process in app.spec.processes.items()
        }
        spec = app.spec.model_copy(update={"processes": processes})
        await self.store.put(dump_object(app.model_copy(update={"spec": spec})))

    async def annotate(self, name: str, annotations: Mapping[str, str | None]) -> App:
        """Set annotations that steer an app; None removes one. Raises NotConfirmed."""
        app = await self.app(name)
        refuse_unconfirmed(app)
        await self.store.put(dump_object(changed(app, annotations)))
        return await self.app(name)

    async def set_cordon(self, host: Host, cordon: str | None, version: int | None = None) -> Host:
        """Say what a host may hold: None for everything, also where its manifest cordoned it.

        Raises Conflict if the host is not at `version`.
        """
        wanted = changed(host, {CORDON: cordon})
        if cordon is None:
            spec = host.spec.model_copy(update={"cordoned": False})
            wanted = wanted.model_copy(update={"spec": spec})
        await self.store.put(dump_object(wanted), version)
        return await self.host(host.name)

    async def secret_version(self, name: str) -> str | None:
        """Return the version of a Secret's values, None when there is no such Secret."""
        stored = await self.store.get("Secret", name)
        return None if stored is None else stored.status.get("version")

    async def set_secret_status(self, name: str, status: SecretStatus) -> None:
        await self._put_status("Secret", name, status)

    async def put_release(self, release: Release) -> Release:
        await self.store.put(dump_object(release))
        return release

    async def annotate_release(self, release: Release, annotations: Mapping[str, str]) -> None:
        """Set annotations of a release."""
        await self.store.put(dump_object(changed(release, annotations)))

    async def set_release_state(
        self, release: Release, state: ReleaseState, message: str = "", logs: tuple[str, ...] = ()
    ) -> None:
        # What is stored may know more than `release`: how its command ended.
        known = await self.release_status(release)
        news = {"state": state, "message": message, "logs": logs}
        await self.set_release_status(release, known.model_copy(update=news))

    async def release_status(self, release: Release) -> ReleaseStatus:
        """Return the status of a release as it is remembered now."""
        stored = await self.store.get("Release", release.name)
        now = self._parse(stored) if stored is not None else release
        return now.status if isinstance(now, Release) else release.status

    async def set_release_status(self, release: Release, status: ReleaseStatus) -> None:
        await self._put_status(
            "Release", release_name(release.spec.app, release.spec.number), status
        )

    async def set_app_status(self, app: App, status: AppStatus) -> None:
        await self._put_status("App", app.name, status)

    async def set_host_status(self, host: Host, status: HostStatus) -> None:
        await self._put_status("Host", host.name, status)

    async def set_conditions(self, obj: App | Host | Job, conditions: Conditions) -> None:
        status: AnyStatus = obj.status.model_copy(update={"conditions": conditions})
        await self._put_status(obj.kind, obj.name, status)

    async def _put_status(self, kind: str, name: str, status: AnyStatus) -> None:
        data = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        await self.store.put_status(kind, name, data)

    async def note(
        self,
        kind: str,
        name: str,
        reason: str,
        message: str,
        host: str | None = None,
        type_: Literal["Normal", "Warning"] = "Normal",
    ) -> None:
        """Record an event."""
        await self.store.add_event(kind, name, type_, reason, message, host)
