"""The steps that only jobs need."""

from __future__ import annotations

from dataclasses import dataclass

from steersman.planning.steps import Step


@dataclass(frozen=True, slots=True)
class StartJob(Step):
    """Have one run of a job started; its end is not waited for."""

    op = "start_job"
    phase = "start"
    unit: str
    replace: bool

    @property
    def text(self) -> str:
        return f"start {self.unit}"


@dataclass(frozen=True, slots=True)
class ForgetJob(Step):
    op = "forget_job"
    phase = "retire"
    app: str
    job: str
    timer: str

    @property
    def text(self) -> str:
        return f"forget job {self.job} and its runs"


@dataclass(frozen=True, slots=True)
class ForgetJobs(Step):
    op = "forget_jobs"
    phase = "retire"
    app: str

    @property
    def text(self) -> str:
        return f"remove what {self.app} had for its jobs"
