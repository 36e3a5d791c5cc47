"""What people ask for: apply, diff, delete, and the changes of one object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.api.job import Job
from steersman.api.objects import AnyObject
from steersman.api.secret import Secret
from steersman.control.admission import admit, admit_jobs, placed
from steersman.control.adopt import Adoption
from steersman.control.artifacts import Artifacts
from steersman.control.binding import Binding
from steersman.control.busy import Busy
from steersman.control.choose import Aim
from steersman.control.cordon import Cordons
from steersman.control.deleting import WHICHEVER, Cascade, Deleting, Meant
from steersman.control.editing import Editing
from steersman.control.job_runs import JobRuns
from steersman.control.jobs import JobOutcome, Jobs
from steersman.control.memory import Memory
from steersman.control.outcome import Applied as Applied
from steersman.control.outcome import Outcome
from steersman.control.plans import Plans
from steersman.control.plugins import admit_given_plugins
from steersman.control.pretence import Pretence
from steersman.control.prune import Pruner
from steersman.control.release import OVERTAKEN, refuse_unconfirmed
from steersman.control.rollout import Rollout
from steersman.control.session import Session, whoever
from steersman.control.status import remember, without
from steersman.control.steering import Steering
from steersman.control.wishes import overtaking
from steersman.manifests.document import Sourced
from steersman.planning.inventory import marked


class Controller:
    """The verbs, over one session."""

    def __init__(self, session: Session, artifacts: Artifacts) -> None:
        self._session = session
        self._memory: Memory = session.memory
        self._artifacts = artifacts
        self.busy = Busy()
        self.jobs = Jobs(session, self.held)
        self.job_runs = JobRuns(session, self.jobs)

    async def apply(self, sourced: Sequence[Sourced], *, inventory: str | None = None) -> Applied:
        """Remember the objects, as members of `inventory`, then converge every app they touch.

        The values of Secrets are in them, as SecretReader puts them there.
        Raises before anything is remembered when the objects do not fit together.
        """
        objects = [
            each.obj if inventory is None else marked(each.obj, inventory) for each in sourced
        ]
        await self.admit(objects)
        # Before the first change: it must not be somebody else who brings it to the hosts.
        named = {obj.name for obj in objects if isinstance(obj, App)}
        with self.busy.marking(named | {*await self._touched(objects)}):
            return await self._apply(objects)

    async def _apply(self, objects: Sequence[AnyObject]) -> Applied:
        changes = [await self.remember(obj) for obj in objects]
        names = await self._touched(objects)
        outcomes, jobs = await self._settle(names, [o for o in objects if isinstance(o, Job)])
        return Applied(tuple(changes), tuple(outcomes), tuple(jobs))

    async def remember(self, obj: AnyObject) -> tuple[str, str]:
        """Remember what a manifest says; return the object's key, and what changed of it."""
        if isinstance(obj, Secret):
            change = await self._session.vault.put(obj, obj.given())
        else:
            change = await self._memory.put(obj)
        key = f"{obj.kind.lower()}/{obj.name}"
        self._session.report.object_changed(key, change)
        return key, change

    async def _settle(
        self, names: Sequence[str], given: Sequence[Job]
    ) -> tuple[Sequence[Outcome], Sequence[JobOutcome]]:
        """Converge apps and their jobs, and wait for those given that run once."""
        outcomes = await asyncio.gather(*(self._tried(name) for name in names))
        return outcomes, await self.job_runs.settle(given, names)

    async def admit(self, objects: Sequence[AnyObject]) -> None:
        """Raise NotAdmitted unless these objects fit to each other and to all that are known."""
        apps, hosts = await self._memory.apps(), await self._memory.hosts()
        apps |= {obj.name: obj for obj in objects if isinstance(obj, App)}
        hosts = {**hosts, **{obj.name: obj for obj in objects if isinstance(obj, Host)}}
        known = [stored.name for stored in await self._memory.store.list("Secret")]
        admit(apps, hosts, {*known, *(o.name for o in objects if isinstance(o, Secret))})

        jobs = {job.name: job for job in await self._memory.jobs()}
        jobs |= {obj.name: obj for obj in objects if isinstance(obj, Job)}
        admit_jobs(jobs.values(), apps, hosts)
        await admit_given_plugins(self._memory, objects)

    async def _touched(self, objects: Sequence[AnyObject]) -> list[str]:
        """Return the apps to converge: those given, on given hosts, or with given secrets."""
        apps, hosts = await self._memory.apps(), await self._memory.hosts()
        given = {(obj.kind, obj.name) for obj in objects}

        def is_touched(app: App) -> bool:
            names = {*placed(app, hosts), *app.status.hosts}
            return (
                ("App", app.name) in given
                or any(("Host", name) in given for name in names)
                or any(("Secret", name) in given for name in app.spec.config.secrets)
            )

        return sorted(name for name, app in apps.items() if is_touched(app))

    async def _tried(self, name: str) -> Outcome:
        try:
            return await self.reconcile(name)
        except SteersmanError as error:
            # One app that somebody else works on must not stop the others.
            return Outcome(name, error=error)

    async def reconcile(self, name: str) -> Outcome:
        """Bring one app to what it asks for, and remember how it went."""
        await self.overtake(name)
        return await self._rolled(name, "newest")

    async def go_on(self, name: str) -> Outcome:
        """Go on with the app's newest release, whatever its source has come to since."""
        return await self._rolled(name, "under way")

    async def keep(self, name: str) -> Outcome:
        """Bring an app to what it asks for, without asking what became of its source since."""
        return await self._rolled(name, "stays")

    async def carry_out(self, name: str, binding: Binding) -> Outcome:
        """Bring one app to what a plan says; hosts that moved since are left alone."""
        return await self._rolled(name, "newest", binding)

    async def _rolled(self, name: str, aim: Aim, binding: Binding | None = None) -> Outcome:
        async with self.held(name):
            app, hosts = await self._memory.app(name), await self._memory.hosts()
            refuse_unconfirmed(app)
            rollout = Rollout(self._session, self._artifacts, binding=binding)
            outcome = await rollout.run(app, hosts, aim)
            await remember(self._memory, app, hosts, outcome)
        return outcome

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[None]:
        """Have an app to oneself while the body runs: no other steer changes it meanwhile."""
        store, turn = self._memory.store, self._session.turn
        with self.busy.marking([name]):
            async with turn.holding(store, f"app/{name}", whoever()):
                try:
                    yield
                finally:
                    # Others may want these hosts: a daemon keeps its links, but must not hold them.
                    await asyncio.shield(self._session.let_go(name))

    async def overtake(self, name: str) -> None:
        """Cancel a rollout under way elsewhere if it is not of what the app asks for now.

        A changed object is noticed there; a branch that moved, or a secret, is only seen here.
        """
        if await self._memory.store.is_leased(f"app/{name}"):
            app = await self._memory.app(name)
            hosts = await self._memory.hosts()
            newer = await Rollout(self._session, self._artifacts).newer(app, hosts)
            if newer is not None:
                await self._memory.annotate(name, {OVERTAKEN: overtaking(newer)})

    async def diff(self, sourced: Sequence[Sourced]) -> list[Outcome]:
        """Return what applying would do, without doing it."""
        objects = [each.obj for each in sourced]
        await self.admit(objects)
        return await Pretence(self._session, self._artifacts).apply(objects)

    async def drift(self, names: Sequence[str]) -> list[Outcome]:
        """Return what would be done for apps as they are remembered, without doing it."""
        return await Pretence(self._session, self._artifacts).keep(names)

    async def delete(
        self, kind: str, name: str, cascade: Cascade = "background", meant: Meant = WHICHEVER
    ) -> list[Outcome]:
        """Remove an object and all it left on hosts; raises, or returns how apps left there."""
        deleting = Deleting(self._session, self.jobs, self.cordons, self.held, self._remove)
        return await deleting.delete(kind, name, cascade, meant)

    async def _remove(self, app: App) -> Outcome:
        rollout = Rollout(self._session, self._artifacts)
        return await rollout.remove(app, await self._memory.hosts())

    @property
    def steering(self) -> Steering:
        """What people ask of an app's releases."""
        return Steering(self._memory, self.reconcile, self.go_on)

    @property
    def editing(self) -> Editing:
        """What changes objects as people do by hand."""
        return Editing(
            self._session, self.busy, admit=self.admit, touched=self._touched, settle=self._settle
        )

    @property
    def adoption(self) -> Adoption:
        """What knows apps again that were forgotten."""
        return Adoption(self._session)

    @property
    def plans(self) -> Plans:
        """What makes plans, and carries them out."""
        return Plans(self._session, self)

    @property
    def pruner(self) -> Pruner:
        """What deletes objects that a set of manifests has no more."""
        return Pruner(self._memory, self.delete)

    @property
    def cordons(self) -> Cordons:
        """What keeps apps off hosts, and moves them away."""
        return Cordons(self._session, self._moved, self._evict)

    async def _moved(self, name: str) -> Outcome:
        """Converge an app whose hosts may be others now, and its jobs, which go where it goes."""
        outcome = await self._tried(name)
        if not outcome.is_good:
            return outcome
        try:
            jobs = await self.jobs.reconcile(name)
        except SteersmanError as error:
            return replace(outcome, error=error)
        return replace(outcome, error=next((j.error for j in jobs if j.error is not None), None))

    async def _evict(self, name: str, host: str) -> Outcome:
        """Remove an app from one host, although it has no other."""
        async with self.held(name):
            app, hosts = await self._memory.app(name), await self._memory.hosts()
            rollout = Rollout(self._session, self._artifacts)
            outcome = await rollout.remove_from(app, hosts, [host])
            if outcome.is_good:
                await self._memory.set_app_status(app, without(app, host))
        return outcome
