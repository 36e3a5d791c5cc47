"""Jobs: which host runs each, brought to its hosts, and what came of their runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.api.job import Job, JobRun, JobStatus
from steersman.api.objects import AnyObject
from steersman.control.admission import placed
from steersman.control.converge import Plan, converge
from steersman.control.hosts import HostLink, jobs_of
from steersman.control.job_status import NEVER, job_status, runs_on
from steersman.control.report import Reporter
from steersman.control.session import Session
from steersman.drivers.jobs import JobHost, render_jobs
from steersman.planning.jobs import JobsTarget, plan_jobs, plan_jobs_gone, stem_of
from steersman.planning.seen import HostSeen
from steersman.planning.steps import Step

JobSteps = dict[str, tuple[Step, ...]]
"""The steps of all of an app's jobs, by host."""


class JobFault(SteersmanError):
    """A job is not where its manifest says, or its run did not end well."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a job fared; `error` says why it is not where it belongs."""

    job: str
    status: JobStatus
    error: SteersmanError | None = None


def hosts_of(job: Job, places: Sequence[str]) -> list[str]:
    """Return where a job belongs: on every host of its app, or on one, which it keeps."""
    if job.spec.every_host:
        return list(places)
    kept = [name for name in job.status.hosts if name in places]
    return (kept or list(places))[:1]


class Jobs:
    """Brings the jobs of apps to hosts, over one session; `held` locks an app by its name."""

    def __init__(
        self, session: Session, held: Callable[[str], AbstractAsyncContextManager[None]]
    ) -> None:
        self._session = session
        self._memory = session.memory
        self._report = session.report
        self._held = held

    async def reconcile(self, name: str) -> list[JobOutcome]:
        """Bring every job of an app to its hosts, and remember how they are."""
        async with self._held(name):
            jobs = await self._memory.jobs(name)
            if not jobs:
                return []
            round_ = await self._round(await self._memory.app(name), jobs)
            await self._intend(round_)
            await round_.converge()
            return [await self._remember(round_, job) for job in jobs]

    async def _intend(self, round_: _Round) -> None:
        """Remember where jobs are about to be: who dies there must find them again."""
        for job in round_.jobs:
            hosts = tuple(dict.fromkeys((*job.status.hosts, *round_.wanted[job.name])))
            if hosts != job.status.hosts:
                status = job.status.model_copy(update={"hosts": hosts})
                await self._memory.set_job_status(job, status)

    async def diff(self, objects: Sequence[AnyObject]) -> dict[str, JobSteps]:
        """Return what applying would do to the jobs of each app that is, or has, one of these."""
        given = {obj.name: obj for obj in objects if isinstance(obj, Job)}
        apps, hosts = await self._memory.apps(), await self._memory.hosts()
        apps |= {obj.name: obj for obj in objects if isinstance(obj, App)}
        hosts = {**hosts, **{obj.name: obj for obj in objects if isinstance(obj, Host)}}
        jobs = {job.name: job for job in await self._memory.jobs()}
        jobs |= {name: await self._memory.job_as_applied(job) for name, job in given.items()}
        touched = {job.spec.app for job in given.values()}
        touched |= {obj.name for obj in objects if isinstance(obj, App)}
        return {
            name: await self._plan(mine, apps[name], hosts)
            for name in sorted(touched)
            if (mine := [job for job in jobs.values() if job.spec.app == name])
        }

    async def _plan(self, jobs: Sequence[Job], app: App, hosts: Mapping[str, Host]) -> JobSteps:
        round_ = await self._round(app, jobs, hosts)
        if round_.errors:
            raise ExceptionGroup("not asked", list(round_.errors.values()))
        return {
            name: plan_jobs(round_.target(link), await link.observe())
            for name, link in round_.links.items()
        }

    async def refresh(self, jobs: Collection[Job]) -> dict[str, SteersmanError]:
        """Ask the hosts how jobs are and remember it; return why hosts said nothing."""
        silent: dict[str, SteersmanError] = {}
        for app in sorted({job.spec.app for job in jobs}):
            round_ = await self._round(await self._memory.app(app), await self._memory.jobs(app))
            silent |= round_.errors
            for job in (job for job in jobs if job.spec.app == app):
                await self._remember(round_, job, is_asked_only=True)
        return silent

    async def remove(
        self, job: Job, still: Callable[[], Awaitable[object]]
    ) -> dict[str, SteersmanError]:
        """Remove a job from its hosts; return why they may still have it.

        `still` is asked in the app's turn, and raises why the job is not to go any more.
        """
        async with self._held(job.spec.app):
            await still()
            app = await self._memory.app(job.spec.app)
            others = [j for j in await self._memory.jobs(app.name) if j.name != job.name]
            round_ = await self._round(app, others, leaving=job.status.hosts)
            await round_.converge()
            return {host: e for host, e in round_.errors.items() if host in job.status.hosts}

    async def _round(
        self,
        app: App,
        jobs: Sequence[Job],
        hosts: Mapping[str, Host] | None = None,
        *,
        leaving: Collection[str] = (),
    ) -> _Round:
        hosts = await self._memory.hosts() if hosts is None else hosts
        places = placed(app, hosts)
        former = {name for job in jobs for name in job.status.hosts}
        names = sorted({*places, *former, *leaving, *app.status.hosts} & set(hosts))
        links, errors = await self._session.connect_all(names, hosts)
        wanted = {job.name: [n for n in hosts_of(job, places) if n in hosts] for job in jobs}
        return _Round(app, tuple(jobs), links, errors, wanted, self._report)

    async def _remember(
        self, round_: _Round, job: Job, *, is_asked_only: bool = False
    ) -> JobOutcome:
        error = round_.error_of(job)
        wanted = job.status.hosts if is_asked_only else round_.wanted[job.name]
        runs: dict[str, list[JobRun]] = {}
        fires: list[datetime] = []
        for name in wanted:
            link = round_.links.get(name)
            if link is not None and name not in round_.errors:
                runs[name] = runs_on(job, name, await link.observe())
                fires += await _next_run(link, job)
        hosts = round_.stays(job) if error is not None and not is_asked_only else list(wanted)
        said = None if is_asked_only else "" if error is None else str(error)
        status = job_status(job, hosts, runs, min(fires, default=None), said, datetime.now(UTC))
        if status != (await self._memory.job(job.name)).status:
            await self._memory.set_job_status(job, status)
        return JobOutcome(job.name, status, error)


@dataclass(slots=True)
class _Round:
    """One pass over the hosts of one app's jobs; `wanted` are the hosts of each job."""

    app: App
    jobs: tuple[Job, ...]
    links: dict[str, HostLink]
    errors: dict[str, SteersmanError]
    wanted: dict[str, list[str]]
    report: Reporter
    steps: JobSteps = field(default_factory=dict)

    async def converge(self) -> None:
        """Remove what moved away first, so that no job is on two hosts at any time."""
        await asyncio.gather(*(self._tried(link, self._leave(link)) for link in self._live()))
        for job in self.jobs:
            lost = sorted(set(job.status.hosts) & set(self.errors) - set(self.wanted[job.name]))
            if lost and not job.spec.every_host:
                self.wanted[job.name] = lost
        await asyncio.gather(*(self._tried(link, self._arrive(link)) for link in self._live()))

    def _live(self) -> list[HostLink]:
        return [link for name, link in self.links.items() if name not in self.errors]

    def target(self, link: HostLink) -> JobsTarget:
        here = tuple(job for job in self.jobs if link.name in self.wanted[job.name])
        host = JobHost(self.app.name, self.app.user, link.layout, link.facts)
        return render_jobs(host, here)

    def _leave(self, link: HostLink) -> Plan:
        return lambda seen: plan_jobs_gone(self.app.name, self.target(link).jobs, seen)

    def _arrive(self, link: HostLink) -> Plan:
        def plan(seen: HostSeen) -> Sequence[Step]:
            target = self.target(link)
            if target.jobs and seen.app(self.app.name).current is None:
                raise JobFault(
                    f"host {link.name}: app {self.app.name} has no release there for its jobs"
                    f" to run; apply the app first: `steer describe app/{self.app.name}` tells more"
                )
            return plan_jobs(target, seen)

        return plan

    async def _tried(self, link: HostLink, plan: Plan) -> None:
        subject = jobs_of(self.app.name)
        try:
            done = await converge(link, subject, plan, self.report)
        except SteersmanError as error:
            self.errors[link.name] = error
            self.report.host_ended(link.name, subject, "failed", str(error))
            return
        if done.steps:
            self.steps[link.name] = (*self.steps.get(link.name, ()), *done.steps)
            self.report.host_ended(link.name, subject, "converged", "")

    def error_of(self, job: Job) -> SteersmanError | None:
        """Return why a job is not as it should be, if it is not."""
        if not self.wanted[job.name]:
            return JobFault(f"job {job.name}: app {self.app.name} is placed on no host")
        return next((self.errors[n] for n in self.wanted[job.name] if n in self.errors), None)

    def stays(self, job: Job) -> list[str]:
        """Return where a job may be although something went wrong."""
        return sorted({*self.wanted[job.name], *(set(job.status.hosts) & set(self.errors))})


async def _next_run(link: HostLink, job: Job) -> list[datetime]:
    timer = f"{stem_of(job.spec.app, job.name)}.timer"
    reply = await link.link.call("timers", names=[timer])
    found = [int(at) for at in reply.header["timers"].values() if 0 < int(at) < NEVER]
    return [datetime.fromtimestamp(at / 1e6, UTC) for at in found]
