"""From the jobs an app should have on a host and what is there: the steps between, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from steersman.planning.files import plan_file
from steersman.planning.job_steps import ForgetJob, ForgetJobs, StartJob
from steersman.planning.seen import HostSeen, job_of_unit
from steersman.planning.steps import (
    Commit,
    EnsureDir,
    ReloadUnits,
    RemoveFile,
    Step,
    StopUnits,
)
from steersman.planning.target import File, Folder

STOP_LIMIT = 3600.0
FOLDER = "jobs"
"""Where an app's folder holds what its jobs need."""


@dataclass(frozen=True, slots=True)
class JobTarget:
    """One job on one host, rendered.

    `mark` is the file that is written last: with it, the supervisor has read the others. `once` is
    the run that must have been started, `timer` the unit that starts others; each may be absent.
    """

    name: str
    unit_files: tuple[File, ...]
    mark: File
    timer: str | None = None
    once: str | None = None
    stops_others: bool = False
    waits_for_others: bool = True


@dataclass(frozen=True, slots=True)
class JobsTarget:
    """Every job of an app on one host; `runner` is what records their runs."""

    app: str
    units_dir: str
    folder: Folder
    runner: File
    jobs: tuple[JobTarget, ...] = ()


def stem_of(app: str, job: str) -> str:
    """Return what the names of a job's units begin with."""
    return f"steersman-{app}_{job}"


def plan_jobs(target: JobsTarget, seen: HostSeen) -> tuple[Step, ...]:
    """Return the steps from `seen` to `target`: level-triggered, as `plan_app`."""
    steps = [*plan_jobs_gone(target.app, target.jobs, seen)]
    if target.jobs:
        app = seen.app(target.app)
        if FOLDER not in app.dirs:
            steps.append(EnsureDir("absent", *_fields(target.folder)))
        steps += plan_file(target.runner, app.job_files.get(_base(target.runner.path)))
    for job in target.jobs:
        steps += _change(target, job, seen)
        steps += _run_once(target.app, job, seen)
    return tuple(steps)


def _fields(folder: Folder) -> tuple[str, int, str]:
    return folder.path, folder.mode, folder.owner


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _change(target: JobsTarget, job: JobTarget, seen: HostSeen) -> Iterator[Step]:
    """Yield the writing of what a job is, its timer asleep meanwhile and the mark at the end."""
    wanted = {file.path for file in job.unit_files}
    timer = f"{stem_of(target.app, job.name)}.timer"
    stale = [path for path in _files_of(target, job, seen) if path not in wanted]
    writes = [s for f in job.unit_files for s in plan_file(f, seen.files.get(f.path))]
    mark = [*plan_file(job.mark, seen.app(target.app).job_files.get(_base(job.mark.path)))]
    is_changing = bool(writes or stale or mark)
    is_awake = seen.is_running(timer)
    if is_awake and (is_changing or job.timer is None):
        yield StopUnits("what it starts is about to change", (timer,), STOP_LIMIT)
    yield from writes
    yield from (RemoveFile("the job does not want it", path) for path in stale)
    if is_changing:
        # Without the mark, whoever comes after a crash does not trust what was read.
        yield ReloadUnits("unit files changed")
    yield from mark
    yield from _wake(target, job, seen)
    if job.timer is not None and (is_changing or not is_awake):
        state = "it sleeps" if is_awake else seen.units.get(timer, ("absent", ""))[0]
        yield StartJob(state, timer, replace=False)


def _wake(target: JobsTarget, job: JobTarget, seen: HostSeen) -> Iterator[Step]:
    """Yield what makes a reboot start the timer, or not."""
    name = f"{stem_of(target.app, job.name)}.timer"
    link = f"{target.units_dir}/multi-user.target.wants/{name}"
    if job.timer is None:
        if link in seen.files:
            yield RemoveFile("the job has no timer", link)
    elif seen.files.get(link) != f"-> ../{name}":
        yield Commit("a reboot must start the timer", link, f"../{name}")


def _files_of(target: JobsTarget, job: JobTarget, seen: HostSeen) -> list[str]:
    stem = f"{target.units_dir}/{stem_of(target.app, job.name)}"
    return [p for p in (f"{stem}.timer", f"{stem}.service", f"{stem}@.service") if p in seen.files]


def _run_once(app: str, job: JobTarget, seen: HostSeen) -> Iterator[Step]:
    if job.once is None:
        return
    unit = f"{stem_of(app, job.name)}@{job.once}.service"
    runs = seen.app(app).job_runs.get(job.name, ())
    if seen.is_live(unit) or any(run.instance == job.once for run in runs):
        return
    others = running_units(app, job.name, seen)
    if others and job.stops_others:
        yield StopUnits("a newer run takes its place", others, STOP_LIMIT)
    elif others and job.waits_for_others:
        return  # whoever waits for this job plans again when they are done
    yield StartJob("it has not run since its manifest changed", unit, replace=False)


def running_units(app: str, job: str, seen: HostSeen) -> tuple[str, ...]:
    """Return the units of a job's runs that are under way, or being stopped."""
    prefix = f"{stem_of(app, job)}@"
    return tuple(sorted(u for u in seen.units if u.startswith(prefix) and seen.is_live(u)))


def plan_jobs_gone(app: str, kept: Iterable[JobTarget], seen: HostSeen) -> tuple[Step, ...]:
    """Return the steps that remove every job of `app` but those kept: its timers first."""
    why = "the job is not wanted here"
    names = {job.name for job in kept}
    active = {u: j for u, j in seen.job_units(app).items() if seen.units[u][0] != "inactive"}
    units = {unit: job for unit, job in active.items() if job not in names}
    paths = {path: job for path, job in _paths(app, seen) if job not in names}
    marks = {name.removesuffix(".json") for name in seen.app(app).job_files if _is_mark(name)}
    steps: list[Step] = []
    for ending in (".timer", ".service"):
        chosen = tuple(sorted(unit for unit in units if unit.endswith(ending)))
        if chosen:
            steps.append(StopUnits(why, chosen, STOP_LIMIT))
    steps += [RemoveFile(why, path) for path in sorted(paths)]
    gone = sorted({*units.values(), *paths.values(), *((marks | _left(app, seen)) - names)})
    if gone:
        steps.append(ReloadUnits("unit files went away"))
    # The marks go last: after a crash they say that the supervisor may still know the units.
    steps += [ForgetJob(why, app, job, f"{stem_of(app, job)}.timer") for job in gone]
    if not names and FOLDER in seen.app(app).dirs:
        steps.append(ForgetJobs("there are no more jobs", app))
    return tuple(steps)


def _is_mark(name: str) -> bool:
    return name.endswith(".json")


def _paths(app: str, seen: HostSeen) -> Iterator[tuple[str, str]]:
    """Yield each unit file and link of the app's jobs, and the job it belongs to."""
    for path in seen.files:
        found = job_of_unit(_base(path))
        if found is not None and found[0] == app:
            yield path, found[1]


def _left(app: str, seen: HostSeen) -> set[str]:
    """Return the jobs of which a run is noted: one may begin between the look and the stop."""
    return {
        name.partition("@")[0]
        for name in seen.app(app).run
        if "@" in name and name.endswith((".run", ".job"))
    }


def pinned_releases(app: str, seen: HostSeen) -> frozenset[str]:
    """Return the names of the releases that running jobs began with, and go on with."""
    return frozenset(
        target.rpartition("/")[2]
        for name, target in seen.app(app).links.items()
        if name.endswith(".job")
        and seen.is_live(f"{stem_of(app, name.removesuffix('.job'))}.service")
    )
