"""Runs of jobs: started by hand, watched until they end, and what they wrote."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing

from steersman.api.errors import SteersmanError
from steersman.api.job import ENDED, FAILED, Job, JobRun
from steersman.api.meta import find_condition
from steersman.control.hosts import HostLink, claims_of
from steersman.control.job_status import runs_on
from steersman.control.jobs import JobFault, JobOutcome, Jobs
from steersman.control.report import Silent
from steersman.control.session import Session
from steersman.drivers.jobs import SCHEDULED, once_of
from steersman.planning.job_steps import StartJob
from steersman.planning.jobs import running_units, stem_of
from steersman.transport.errors import printable

POLL = 0.5
# Between asking systemd for a run and its record: far less, on a host that is not starved.
BEGINNING = 30.0
SHOWN = 20


class JobRuns:
    """What can be done with single runs, over one session."""

    def __init__(self, session: Session, jobs: Jobs) -> None:
        self._session = session
        self._memory = session.memory
        self._jobs = jobs

    async def link(self, host: str) -> HostLink:
        return await self._session.connect(
            await self._memory.host(host), await self._memory.hosts()
        )

    async def settle(self, given: Sequence[Job], apps: Sequence[str]) -> list[JobOutcome]:
        """Bring the jobs of apps to their hosts, and wait for those given that run once."""
        owners = sorted({*apps, *(job.spec.app for job in given)})
        done = await asyncio.gather(*(self._tried(name) for name in owners))
        names = {job.name for job in given if job.spec.schedule is None and not job.spec.suspend}
        outcomes = [outcome for each in done for outcome in each]
        well = [o.job for o in outcomes if o.error is None and o.job in names]
        faults = await self._finish(well)
        return [
            JobOutcome(o.job, (await self._memory.job(o.job)).status, faults.get(o.job, o.error))
            for o in outcomes
        ]

    async def _tried(self, app: str) -> list[JobOutcome]:
        try:
            return await self._jobs.reconcile(app)
        except SteersmanError as error:
            # One app that somebody else works on must not stop the others.
            return [JobOutcome(job.name, job.status, error) for job in await self._memory.jobs(app)]

    async def _finish(self, names: Sequence[str]) -> dict[str, SteersmanError]:
        """Wait until jobs that run once have run; return what went wrong, by job."""
        faults: dict[str, SteersmanError] = {}
        waiting = list(names)
        while waiting:
            for name in tuple(waiting):
                try:
                    has_ended = await self._has_ended(await self._memory.job(name))
                except SteersmanError as error:
                    faults[name], has_ended = error, True
                if has_ended:
                    waiting.remove(name)
            if waiting:
                await asyncio.sleep(POLL)
        return faults

    async def _has_ended(self, job: Job) -> bool:
        """Return whether this generation of a job has run; raise JobFault if it went wrong."""
        await self._learn(job)
        links = [await self.link(host) for host in job.status.hosts]
        for link in links:
            await link.let_go(*claims_of(job.spec.app))
        runs = [run for link in links for run in await _once_on(link, job)]
        if len(runs) < len(links) and job.has_ended:
            return _ended_elsewhere(job)
        if len(runs) < len(links):
            # It waits for a run of the job as it was before.
            await self._jobs.reconcile(job.spec.app)
            return False
        if not all(run.state in ENDED for run in runs):
            return False
        await self._jobs.refresh([job])
        for link, run in zip(links, runs, strict=True):
            if run.state != "succeeded":
                raise await self._fault(link, job, run)
        return True

    async def _learn(self, job: Job) -> None:
        """Have the app's secrets masked: a run may print what it was given."""
        app = await self._memory.app(job.spec.app)
        await self._session.vault.learn(app.spec.config.secrets)

    async def _fault(self, link: HostLink, job: Job, run: JobRun) -> JobFault:
        lines = [line async for line in lines_of(link, job, run.invocations)]
        said = "".join(f"\n    {line}" for line in lines[-SHOWN:]) or " (it wrote nothing)"
        return JobFault(
            f"job {job.name} did not end well on {run.host}: {run.result}; its last lines:{said}\n"
            "  it is not run again by itself; change the job and apply it, or delete it first"
        )

    async def start(self, job: Job, host: str) -> tuple[HostLink, str]:
        """Start a run now; return its host and its id. Raises JobFault when one runs already."""
        await self._learn(job)
        link = await self.link(host)
        seen = await link.observe()
        before = {run.id for run in runs_on(job, host, seen)}
        busy = running_units(job.spec.app, job.name, seen)
        if busy and job.spec.concurrency == "Forbid":
            raise JobFault(
                f"job {job.name} runs on {host} at this moment, and `concurrency: Forbid` keeps it"
                f" from overlapping; wait for its end: `steer logs job/{job.name} -f`"
            )
        instance = uuid.uuid4().hex if job.spec.concurrency == "Allow" else SCHEDULED
        unit = f"{stem_of(job.spec.app, job.name)}@{instance}.service"
        step = StartJob("somebody asked for it", unit, replace=job.spec.concurrency == "Replace")
        await link.apply(job.spec.app, step, 1, 1, Silent())
        try:
            async with asyncio.timeout(BEGINNING):
                run_id = await _begun(link, job, instance, before)
        except TimeoutError:
            raise JobFault(
                f"job {job.name}: {unit} did not begin within {BEGINNING:g} s on {host};"
                f" `systemctl status {unit}` there tells why"
            ) from None
        await link.let_go(*claims_of(job.spec.app))
        return link, run_id

    async def run(self, job: Job, host: str, say: Callable[[str], None]) -> JobRun:
        """Start a run now, and say each line that it writes until it ends; return how."""
        link, run_id = await self.start(job, host)
        return await self.watch(link, job, run_id, say)

    async def watch(
        self, link: HostLink, job: Job, run_id: str, say: Callable[[str], None]
    ) -> JobRun:
        """Say each line of a run as it is written, until it ends; return how."""
        run = await _find(link, job, run_id)
        said = 0

        async def follow() -> None:
            nonlocal said
            lines = lines_of(link, job, run.invocations, is_followed=True)
            async with aclosing(lines):
                async for line in lines:
                    said += 1
                    say(line)

        following = asyncio.create_task(follow())
        try:
            while run.state not in ENDED:
                await asyncio.sleep(POLL / 2)
                run = await _find(link, job, run_id)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        # What it wrote last may not have come yet, nor what later attempts wrote.
        rest = [line async for line in lines_of(link, job, run.invocations)]
        for line in rest[said:]:
            say(line)
        return run


def _ended_elsewhere(job: Job) -> bool:
    """Return that a job ended well on hosts it has left since; raise JobFault if it did not."""
    failed = find_condition(job.status.conditions, FAILED)
    if failed is not None and failed.status == "True":
        raise JobFault(
            f"job {job.name} did not end well {failed.message};"
            " change the job and apply it, or delete it first"
        )
    return True


async def lines_of(
    link: HostLink, job: Job, invocations: tuple[str, ...], *, is_followed: bool = False
) -> AsyncGenerator[str]:
    """Yield what the attempts of a run wrote, without systemd's own words."""
    stream = link.link.stream(
        "logs",
        pattern=stem_of(job.spec.app, job.name),
        since="",
        lines=-1,
        follow=is_followed,
        invocations=list(invocations),
    )
    async with aclosing(stream) as replies:
        async for reply in replies:
            if "line" in reply.header and reply.header.get("system") is not True:
                yield printable(link.masks.text(str(reply.header["line"])))


async def _once_on(link: HostLink, job: Job) -> list[JobRun]:
    """Return the run that this generation of a job asked for, if it was started."""
    runs = runs_on(job, link.name, await link.observe())
    return [run for run in runs if run.instance == once_of(job)][-1:]


async def _begun(link: HostLink, job: Job, instance: str, before: Collection[str]) -> str:
    """Wait for the record of a run that was not there before; return its id."""
    while True:
        for run in runs_on(job, link.name, await link.observe()):
            if run.id not in before and run.instance == instance:
                return run.id
        await asyncio.sleep(POLL / 5)


async def _find(link: HostLink, job: Job, run_id: str) -> JobRun:
    for run in runs_on(job, link.name, await link.observe()):
        if run.id == run_id:
            return run
    raise SteersmanError(
        f"job {job.name}: host {link.name} no longer remembers this run; spec.history says how many"
    )
