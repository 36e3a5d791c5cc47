"""Laws of the jobs' plan: from any start and after any crash, to an end state written by hand."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from laws.test_planning import FACTS, HOST, deployed
from laws.test_planning import target as app_goal
from steersman.api.job import Job
from steersman.drivers.hosts import layout_of
from steersman.drivers.jobs import JobHost, once_of, render_jobs
from steersman.drivers.model import Facts
from steersman.drivers.unitfile import CannotRender
from steersman.planning import steps as s
from steersman.planning.app import plan_app
from steersman.planning.job_steps import ForgetJob, ForgetJobs, StartJob
from steersman.planning.jobs import JobsTarget, pinned_releases, plan_jobs, plan_jobs_gone
from steersman.planning.retiring import AppGone, plan_absent
from steersman.planning.seen import AppSeen, FileSeen, HostSeen, RunSeen
from steersman.planning.target import File

UNITS, WANTS = "/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants"
BACKUP = "steersman-shop_backup"


class Hurt(AssertionError):
    """A step that no careful hand would make in this state."""


@dataclass
class FakeHost:
    """A host that objects when systemd would start what it has not read."""

    dirs: set[str] = field(default_factory=set)
    files: dict[str, FileSeen | str] = field(default_factory=dict)
    job_files: dict[str, FileSeen] = field(default_factory=dict)
    read: dict[str, FileSeen | str] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    runs: dict[str, list[str]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)

    def seen(self) -> HostSeen:
        runs = {
            job: tuple(RunSeen("i", ("i",), name, "succeeded", 1, 0.0, 1.0, "", 0) for name in each)
            for job, each in self.runs.items()
        }
        shop = AppSeen(
            dirs=frozenset(self.dirs),
            job_files=dict(self.job_files),
            job_runs=runs,
            links=self.links,
        )
        units = dict.fromkeys(self.active, ("active", "waiting"))
        return HostSeen(
            1, dict(self.users), {"shop": shop}, dict(self.files), units, {}, frozenset()
        )

    def make(self, step: s.Step) -> None:
        getattr(self, f"_{type(step).__name__}")(step)

    def _EnsureDir(self, step: s.EnsureDir) -> None:
        self.dirs.add(step.path.rpartition("/")[2])

    def _WriteFile(self, step: s.WriteFile) -> None:
        folder, _, name = step.path.rpartition("/")
        made = FileSeen(hashlib.sha256(step.data).hexdigest(), step.mode, step.owner)
        if folder.endswith("/jobs"):
            if "jobs" not in self.dirs:
                raise Hurt("a definition before its folder")
            if name.endswith(".json") and not self._is_read(f"steersman-shop_{name[:-5]}"):
                raise Hurt(f"{name} says that systemd has read what it has not")
            self.job_files[name] = made
        else:
            if step.path.endswith(".timer") and f"{name}" in self.active:
                raise Hurt(f"{name} may fire while it is changed")
            self.files[step.path] = made

    def _is_read(self, stem: str) -> bool:
        mine = {p: f for p, f in self.files.items() if p.startswith(f"{UNITS}/{stem}")}
        return all(self.read.get(path) == file for path, file in mine.items())

    def _RemoveFile(self, step: s.RemoveFile) -> None:
        del self.files[step.path]

    def _ReloadUnits(self, step: s.ReloadUnits) -> None:
        self.read = dict(self.files)

    def _Commit(self, step: s.Commit) -> None:
        self.files[step.path] = f"-> {step.target}"

    def _StartJob(self, step: StartJob) -> None:
        stem = step.unit.partition("@")[0].partition(".")[0]
        job = stem.rpartition("_")[2]
        if f"{job}.json" not in self.job_files or not self._is_read(stem):
            raise Hurt(f"{step.unit} started before it was whole")
        if "@" in step.unit:
            self.runs.setdefault(job, []).append(step.unit.partition("@")[2].partition(".")[0])
        else:
            self.active.add(step.unit)

    def _StopUnits(self, step: s.StopUnits) -> None:
        self.active -= set(step.units)

    def _ForgetJob(self, step: ForgetJob) -> None:
        if any(unit.startswith(step.timer.removesuffix("timer")) for unit in self.active):
            raise Hurt(f"{step.job} forgotten while it runs")
        if not self._is_read(step.timer.removesuffix(".timer")) or any(
            step.timer in path for path in self.files
        ):
            raise Hurt(f"{step.job} forgotten while systemd knows it")
        self.job_files.pop(f"{step.job}.json", None)
        self.runs.pop(step.job, None)

    def _ForgetJobs(self, step: ForgetJobs) -> None:
        if any(name.endswith(".json") for name in self.job_files):
            raise Hurt("the runner removed while there are jobs")
        self.job_files.clear()
        self.dirs.discard("jobs")


def job(name: str = "backup", generation: int = 1, **spec: Any) -> Job:
    usual = {"app": "shop", "command": "python manage.py backup"}
    metadata = {"name": name, "generation": generation, "uid": f"uid-of-{name}"}
    return Job.model_validate({"metadata": metadata, "spec": usual | spec})


def target(*jobs: Job) -> JobsTarget:
    return render_jobs(JobHost("shop", "app-shop", layout_of(HOST), FACTS), jobs)


def settle(host: FakeHost, goal: JobsTarget, crash_after: int | None = None) -> int:
    """Plan and apply until nothing is left; die once after so many steps. Return their number."""
    made = 0
    for _ in range(4):
        steps = plan_jobs(goal, host.seen())
        if not steps:
            return made
        for step in steps:
            host.make(step)
            made += 1
            if made == crash_after:
                break
    raise AssertionError(f"does not settle: {plan_jobs(goal, host.seen())}")


def fresh() -> FakeHost:
    return FakeHost()


def with_old_schedule() -> FakeHost:
    host = FakeHost()
    settle(host, target(job(schedule="@hourly", concurrency="Allow")))
    return host


def with_another_job() -> FakeHost:
    host = FakeHost()
    settle(host, target(job("report", schedule="@daily"), job("once")))
    host.active |= {"steersman-shop_report@run.service"}
    return host


def suspended() -> FakeHost:
    host = FakeHost()
    settle(host, target(job(schedule="@daily", suspend=True)))
    return host


def begun() -> FakeHost:
    """A controller died before it had written a single unit."""
    host = FakeHost()
    for step in plan_jobs(target(job(schedule="@daily")), host.seen())[:2]:
        host.make(step)
    return host


STARTS = [begun, fresh, with_old_schedule, with_another_job, suspended]


def told(file: File) -> FileSeen:
    return FileSeen(file.sha256, file.mode, file.owner)


@pytest.mark.parametrize("start", STARTS)
def test_any_start_and_any_crash_reach_a_schedule(start: Callable[[], FakeHost]) -> None:
    goal = target(job(schedule="@daily", generation=2))
    total = settle(start(), goal)
    assert total >= 4
    for survived in range(1, total + 1):
        host = start()
        settle(host, goal, crash_after=survived)
        where = f"crash after step {survived}"
        assert set(host.files) == {
            f"{UNITS}/{BACKUP}@.service",
            f"{UNITS}/{BACKUP}.timer",
            f"{WANTS}/{BACKUP}.timer",
        }, where
        assert host.active == {f"{BACKUP}.timer"}, where
        assert set(host.job_files) == {"jobrun.py", "backup.json"}, where
        assert host.job_files["backup.json"] == told(goal.jobs[0].mark), where
        assert host.read == host.files or host.files[f"{WANTS}/{BACKUP}.timer"], where
        assert not host.runs.get("backup"), where


@pytest.mark.parametrize("start", STARTS)
def test_any_crash_leaves_nothing_of_removed_jobs(start: Callable[[], FakeHost]) -> None:
    total = settle(start(), target())
    for survived in range(1, total + 1):
        host = start()
        settle(host, target(), crash_after=survived)
        assert host == FakeHost(read=host.read), f"crash after step {survived}"
        assert not host.read


@pytest.mark.parametrize("start", STARTS)
def test_an_app_that_goes_takes_its_jobs_along(start: Callable[[], FakeHost]) -> None:
    gone = AppGone("shop", "app-shop", "/run/steersman", UNITS, "/etc/nginx/none", ())
    host = start()
    for step in plan_absent(gone, host.seen()):
        if not isinstance(step, s.RemoveApp):
            host.make(step)
    assert host == FakeHost(read=host.read)


def test_a_job_without_a_schedule_runs_once_for_each_generation() -> None:
    host = fresh()
    first, second = job(generation=1), job(generation=2, command="python other.py")
    for survived in range(1, 20):
        settle(host, target(first), crash_after=survived)
    assert host.runs["backup"] == [once_of(first)]
    settle(host, target(second))
    settle(host, target(second))
    assert host.runs["backup"] == [once_of(first), once_of(second)]
    assert once_of(first) != once_of(job("another"))


@pytest.mark.parametrize(
    ("concurrency", "starts", "stops"),
    [("Forbid", False, False), ("Replace", True, True), ("Allow", True, False)],
)
def test_a_new_run_minds_the_one_under_way(concurrency: str, starts: bool, stops: bool) -> None:
    host, wanted = fresh(), job(generation=2, concurrency=concurrency)
    settle(host, target(wanted))
    host.runs.clear()
    host.active.add(f"{BACKUP}@run.service")
    steps = plan_jobs(target(wanted), host.seen())
    assert [type(step) for step in steps] == [
        *([s.StopUnits] if stops else []),
        *([StartJob] if starts else []),
    ]


def test_a_suspended_job_keeps_its_runs_and_loses_its_timer() -> None:
    host = fresh()
    settle(host, target(job(schedule="@daily")))
    host.active.add(f"{BACKUP}@run.service")
    settle(host, target(job(schedule="@daily", suspend=True)))
    assert host.active == {f"{BACKUP}@run.service"}
    assert set(host.files) == {f"{UNITS}/{BACKUP}@.service"}
    assert not plan_jobs(target(job(suspend=True)), settled(job(suspend=True)).seen())


def settled(*jobs: Job) -> FakeHost:
    host = fresh()
    settle(host, target(*jobs))
    return host


def test_a_timer_that_somebody_stopped_is_started() -> None:
    host = settled(job(schedule="@daily"))
    host.active.clear()
    assert [type(step) for step in plan_jobs(target(job(schedule="@daily")), host.seen())] == [
        StartJob
    ]


def test_other_apps_jobs_are_let_alone() -> None:
    host = fresh()
    for name in ("steersman-shop-two_backup", "steersman-sho_p"):
        host.files[f"{UNITS}/{name}.timer"] = FileSeen("", 0o644, "root:root")
        host.active.add(f"{name}.timer")
    assert plan_jobs(target(), host.seen()) == ()


def test_only_a_run_under_way_keeps_its_release() -> None:
    links = {"backup@run.job": "/srv/steersman/apps/shop/releases/7-abc", "web.sock": "web-g8.sock"}
    host = FakeHost(links=links)
    assert pinned_releases("shop", host.seen()) == frozenset()
    host.active.add(f"{BACKUP}@run.service")
    assert pinned_releases("shop", host.seen()) == {"7-abc"}


def test_a_systemd_too_old_for_jobs_is_refused() -> None:
    old = JobHost("shop", "app-shop", layout_of(HOST), Facts(systemd=239))
    with pytest.raises(CannotRender, match="systemd 244"):
        render_jobs(old, (job(),))


def test_a_deploy_collects_no_release_that_a_run_keeps() -> None:
    host = deployed(5)
    host.releases["1-111111111111"] = "build1"
    host.builds.add("build1")
    host.links["backup@run.job"] = "/srv/steersman/apps/shop/releases/1-111111111111"
    goal = app_goal(5)
    (collect,) = plan_app(goal, host.seen())
    assert isinstance(collect, s.Collect) and collect.releases == ("1-111111111111",)
    host.active.add(f"{BACKUP}@run.service")
    assert plan_app(goal, host.seen()) == ()


def test_what_a_run_left_that_began_meanwhile_is_forgotten() -> None:
    left = AppSeen(run=frozenset({"web.sock", "many@0a1b.run", "many@0a1b.job", "web@1.txt"}))
    seen = dataclasses.replace(FakeHost().seen(), apps={"shop": left})
    steps = plan_jobs_gone("shop", (), seen)
    assert [step.job for step in steps if isinstance(step, ForgetJob)] == ["many"]
