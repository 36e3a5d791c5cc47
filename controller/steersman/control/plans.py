"""Plans: made of what is seen now, and carried out later exactly so, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.job import Job
from steersman.api.objects import AnyObject, dump_object
from steersman.api.release import Release
from steersman.api.secret import Secret
from steersman.control.artifacts import resolved_again
from steersman.control.binding import AGAIN, Binding, PlanOutdated
from steersman.control.jobs import JobOutcome, JobSteps
from steersman.control.memory import Memory
from steersman.control.outcome import Applied, Outcome
from steersman.control.session import Session, whoever
from steersman.manifests.document import Sourced
from steersman.planning.plans import (
    Plan,
    PlannedApp,
    PlannedHost,
    PlannedRelease,
    PlannedSource,
    lines_of,
    seen_digest,
    steps_digest,
)

if TYPE_CHECKING:
    from steersman.control.apply import Controller


class OtherStore(SteersmanError):
    """A plan was made by a controller with another memory."""

    def __init__(self) -> None:
        super().__init__(
            "the plan was made with another state than this one; apply it with the --state-dir or"
            f" --context that it was made with, or {AGAIN}"
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done. `plan` is there if nothing stands in the way of all of it."""

    outcomes: tuple[Outcome, ...]
    jobs: Mapping[str, JobSteps]
    plan: Plan | None


class Plans:
    """Makes plans with the verbs of a controller, and carries them out."""

    def __init__(self, session: Session, controller: Controller) -> None:
        self._session = session
        self._memory: Memory = session.memory
        self._controller = controller

    async def make(self, sourced: Sequence[Sourced], names: Sequence[str]) -> Planned:
        """Return what applying objects, or bringing named apps back to what they should be, does.

        The plan's `objects` hold digests where a Secret has values; whoever wrote the manifests
        puts in where those come from, and `bases`.
        """
        objects = [each.obj for each in sourced]
        outcomes = await self._controller.diff(sourced)
        outcomes += await self._controller.drift(names)
        asked = [*objects, *[await self._memory.app(name) for name in names]]
        jobs = await self._controller.jobs.diff(asked)
        if not all(outcome.is_good for outcome in outcomes):
            return Planned(tuple(outcomes), jobs, None)
        return Planned(tuple(outcomes), jobs, await self._plan(objects, outcomes, jobs))

    async def _plan(
        self,
        objects: Sequence[AnyObject],
        outcomes: Sequence[Outcome],
        jobs: Mapping[str, JobSteps],
    ) -> Plan:
        key = await self._memory.store.key()
        masked = [await self._masked(obj) for obj in objects]
        apps = {each.app: await self._app(key, each, objects) for each in outcomes}
        for name, by_host in jobs.items():
            apps[name] = await self._with_jobs(key, name, apps.get(name, PlannedApp()), by_host)
        hosts = {("Host", host) for planned in apps.values() for host in planned.hosts}
        known = {*hosts, *(("App", name) for name in apps), *((o.kind, o.name) for o in objects)}
        return Plan(
            made_by=whoever(),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            store=_store_id(key),
            objects=tuple(dump_object(obj) for obj in masked),
            secrets={o.name: await self._version(o) for o in objects if isinstance(o, Secret)},
            known={
                f"{kind}/{name}": await self._digest(kind, name) for kind, name in sorted(known)
            },
            apps=apps,
        )

    async def _masked(self, obj: AnyObject) -> AnyObject:
        vault = self._session.vault
        if not isinstance(obj, Secret):
            return obj
        return await vault.masked(obj, await vault.with_kept(obj, obj.given()))

    async def _version(self, secret: Secret) -> str:
        vault = self._session.vault
        return await vault.version_of(await vault.with_kept(secret, secret.given()))

    async def _digest(self, kind: str, name: str) -> str:
        """Return what tells an object as it is remembered from any other; "" if it is not."""
        stored = await self._memory.store.get(kind, name)
        if stored is None:
            return ""
        said = {key: stored.metadata.get(key) or {} for key in ("labels", "annotations")}
        text = orjson.dumps({**said, "spec": stored.spec}, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(text).hexdigest()

    async def _user(self, name: str, objects: Sequence[AnyObject]) -> str:
        given = (obj.user for obj in objects if isinstance(obj, App) and obj.name == name)
        return next(given, None) or (await self._memory.app(name)).user

    async def _app(self, key: bytes, outcome: Outcome, objects: Sequence[AnyObject]) -> PlannedApp:
        user = await self._user(outcome.app, objects)
        hosts = {
            each.host: PlannedHost(
                seen=seen_digest(key, outcome.app, user, each.seen),
                steps=steps_digest(key, each.steps),
                lines=lines_of(each.steps),
            )
            for each in outcome.hosts
            if each.seen is not None
        }
        release = _release(outcome.release) if outcome.release is not None else None
        return PlannedApp(release=release, hosts=hosts)

    async def _with_jobs(
        self, key: bytes, name: str, planned: PlannedApp, by_host: JobSteps
    ) -> PlannedApp:
        """Return the part of an app with its jobs, whose hosts may be others than its own."""
        app, hosts = await self._memory.app(name), await self._memory.hosts()
        links, _ = await self._session.connect_all(by_host, hosts)
        more = {
            host: PlannedHost(
                seen=seen_digest(key, name, app.user, await links[host].observe()),
                steps=steps_digest(key, steps),
            )
            for host, steps in by_host.items()
            if host in links and host not in planned.hosts
        }
        lines = {host: lines_of(steps) for host, steps in by_host.items()}
        return planned.model_copy(update={"hosts": {**planned.hosts, **more}, "jobs": lines})

    async def apply(self, plan: Plan, sourced: Sequence[Sourced]) -> Applied:
        """Do what a plan says; what has moved since is left alone, and said.

        `sourced` are the plan's objects, with the values of Secrets. Raises OtherStore, and
        NotAdmitted before anything is remembered.
        """
        key = await self._memory.store.key()
        if not hmac.compare_digest(plan.store, _store_id(key)):
            raise OtherStore
        barred = await self._barred(plan, sourced)
        objects = [o.obj for o in sourced if (o.obj.kind, o.obj.name) not in barred]
        await self._controller.admit(objects)
        changes = [await self._controller.remember(obj) for obj in objects]
        outcomes = await asyncio.gather(
            *(
                self._carried_out(name, planned, key, barred)
                for name, planned in plan.apps.items()
                if planned.release is not None
            )
        )
        told = {outcome.app for outcome in outcomes}
        errors = [e for (kind, name), e in barred.items() if kind != "App" or name not in told]
        jobs, more = await self._settle_jobs(plan, objects, outcomes, key, barred)
        return Applied(tuple(changes), tuple(outcomes), tuple(jobs), (*errors, *more))

    async def _barred(self, plan: Plan, sourced: Sequence[Sourced]) -> Barred:
        """Return the objects that are not as they were, or not as they were to be."""
        barred: Barred = {}
        for key, digest in plan.known.items():
            kind, _, name = key.partition("/")
            if await self._digest(kind, name) != digest:
                barred[kind, name] = PlanOutdated(f"{kind.lower()} {name}", "it was changed")
        objects = [each.obj for each in sourced]
        for secret in (obj for obj in objects if isinstance(obj, Secret)):
            if await self._version(secret) != plan.secrets.get(secret.name):
                why = "its values have changed where they come from"
                barred["Secret", secret.name] = PlanOutdated(f"secret {secret.name}", why)
        apps = await self._memory.apps()
        apps |= {obj.name: obj for obj in objects if isinstance(obj, App)}
        for app in (apps[name] for name in plan.apps if name in apps):
            lost = [key for key in app.spec.config.secrets if ("Secret", key) in barred]
            if lost:
                why = f"its secret {lost[0]} was changed"
                barred.setdefault(("App", app.name), PlanOutdated(f"app {app.name}", why))
        for job in (obj for obj in objects if isinstance(obj, Job)):
            if ("App", job.spec.app) in barred:
                why = f"its app {job.spec.app} was changed"
                barred.setdefault(("Job", job.name), PlanOutdated(f"job {job.name}", why))
        return barred

    async def _carried_out(
        self, name: str, planned: PlannedApp, key: bytes, barred: Barred
    ) -> Outcome:
        if ("App", name) in barred:
            return Outcome(name, error=barred["App", name])
        hosts = {host: error for (kind, host), error in barred.items() if kind == "Host"}
        try:
            return await self._controller.carry_out(name, Binding(name, planned, key, hosts))
        except SteersmanError as error:
            return Outcome(name, error=error)

    async def _settle_jobs(
        self,
        plan: Plan,
        objects: Sequence[AnyObject],
        outcomes: Sequence[Outcome],
        key: bytes,
        barred: Barred,
    ) -> tuple[list[JobOutcome], list[SteersmanError]]:
        """Bring jobs to their hosts, where all hosts of their app are as planned."""
        bad = {outcome.app for outcome in outcomes if not outcome.is_good}
        rolled = {outcome.app for outcome in outcomes}
        hosts = {host: error for (kind, host), error in barred.items() if kind == "Host"}
        apps, errors = [], list[SteersmanError]()
        for name, planned in plan.apps.items():
            if name in bad or not (planned.jobs or name in rolled):
                continue
            if name not in rolled:
                app = await self._memory.app(name)
                links, lost = await self._session.connect_all(
                    planned.hosts, await self._memory.hosts()
                )
                moved = await Binding(name, planned, key, hosts).moved(app, links.values())
                errors += [*lost.values(), *moved.values()]
                if lost or moved:
                    continue
            apps.append(name)
        given = [obj for obj in objects if isinstance(obj, Job) and obj.spec.app in apps]
        return await self._controller.job_runs.settle(given, apps), errors


Barred = dict[tuple[str, str], SteersmanError]


def _store_id(key: bytes) -> str:
    return hmac.new(key, b"which store a plan is for", hashlib.sha256).hexdigest()[:32]


def _release(release: Release) -> PlannedRelease:
    resolved = resolved_again(release)
    return PlannedRelease(
        number=release.spec.number,
        digest=release.spec.digest,
        source=PlannedSource(kind=resolved.kind, commit=resolved.commit, content=resolved.content),
    )
