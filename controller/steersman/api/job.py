"""Job: an admin process of an app, run once or on a schedule."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from steersman.api.meta import Conditions, Object, ObjectMeta
from steersman.api.model import Count, Flag, Model, Number
from steersman.api.names import AppName, Name, ProcessName
from steersman.api.process import Limits, Stop
from steersman.api.quantities import Timeout
from steersman.api.refusal import Refused, refuse_all
from steersman.api.schedule import Schedule, TimeZone, calendars_of
from steersman.api.text import Command

COMPLETE, FAILED = "Complete", "Failed"

Concurrency = Literal["Allow", "Forbid", "Replace"]
RunState = Literal["running", "retrying", "succeeded", "failed", "stopped", "lost"]
ENDED: frozenset[RunState] = frozenset({"succeeded", "failed", "stopped", "lost"})


class JobHistory(Model):
    """How many ended runs are remembered on a host; the newest always is."""

    successful: Annotated[int, Field(strict=True, ge=0, le=100)] = 3
    failed: Annotated[int, Field(strict=True, ge=0, le=100)] = 1


class JobSpec(Model):
    """What runs, when, and how long; without a `schedule` it runs once for each change of this.

    `process` lends its own variables; `timeout` is for one attempt, and one that takes longer is
    ended with all its children and not tried again.
    """

    app: AppName
    command: Command
    process: ProcessName | None = None
    schedule: Schedule | None = None
    time_zone: TimeZone | None = None
    concurrency: Concurrency = "Forbid"
    missed: Literal["run", "skip"] = "run"
    timeout: Timeout | None = None
    retries: Annotated[int, Field(strict=True, ge=0, le=100)] = 0
    retry_delay: Timeout = 10.0
    history: JobHistory = JobHistory()
    suspend: Flag = False
    every_host: Flag = False
    stop: Stop = Stop()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _agrees_with_its_schedule(self) -> "JobSpec":
        if self.schedule is not None:
            return self
        set_here = {"timeZone": self.time_zone is not None, "missed": self.missed == "skip"}
        refuse_all(
            [
                Refused(f"{key} but no schedule", f"{key} beside a schedule", at=(key,))
                for key, is_set in set_here.items()
                if is_set
            ]
        )
        return self

    @property
    def calendars(self) -> tuple[str, ...]:
        """When it runs, in systemd's words; nothing for a job that runs once."""
        return () if self.schedule is None else calendars_of(self.schedule, self.time_zone)


class JobRun(Model):
    """One run, as the host recorded it: `invocations` are systemd's ids of its attempts.

    `code` is 128 and more for a run that a signal ended, 124 for one that took too long.
    """

    host: Name
    id: str
    state: RunState
    release: Number
    invocations: tuple[str, ...]
    instance: str = ""
    result: str = ""
    code: Count | None = None
    started: AwareDatetime
    ended: AwareDatetime | None = None

    @property
    def is_live(self) -> bool:
        return self.state in ("running", "retrying")


class JobStatus(Model):
    """What was last seen of a job; `runs` are oldest first."""

    observed_generation: Number = 0
    conditions: Conditions = ()
    hosts: tuple[Name, ...] = ()
    next_run: AwareDatetime | None = None
    runs: tuple[JobRun, ...] = ()


class JobMeta(ObjectMeta):
    """A job's name is part of unit names, so it is short."""

    name: AppName


class Job(Object):
    """An admin process: `kind: Job`."""

    kind: Literal["Job"] = "Job"
    metadata: JobMeta
    spec: JobSpec
    status: JobStatus = JobStatus()

    @property
    def has_ended(self) -> bool:
        """Whether the one run that this generation asks for is over, well or not."""
        return any(
            each.type in (COMPLETE, FAILED)
            and each.status == "True"
            and each.observed_generation == self.metadata.generation
            for each in self.status.conditions
        )
