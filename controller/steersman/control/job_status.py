"""What is remembered of a job after its hosts were asked: its runs, and whether it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from steersman.api.job import COMPLETE, ENDED, FAILED, Job, JobRun, JobStatus, RunState
from steersman.api.meta import READY, Condition, Conditions, set_condition
from steersman.drivers.jobs import once_of
from steersman.planning.seen import HostSeen, RunSeen

# What systemd says of a timer that will not fire again.
NEVER = 2**64 - 1

_STATES: Mapping[str, RunState] = {
    "running": "running",
    "retrying": "retrying",
    "succeeded": "succeeded",
    "failed": "failed",
    "stopped": "stopped",
    "lost": "lost",
}


def runs_on(job: Job, host: str, seen: HostSeen) -> list[JobRun]:
    """Return the runs of a job that a host recorded."""
    records = seen.app(job.spec.app).job_runs.get(job.name, ())
    return [_run(host, record) for record in records]


def _run(host: str, record: RunSeen) -> JobRun:
    return JobRun(
        host=host,
        id=record.id,
        state=_STATES.get(record.state, "lost"),
        release=record.release,
        invocations=record.invocations,
        instance=record.instance,
        result=record.result,
        code=record.code,
        started=datetime.fromtimestamp(record.started, UTC),
        ended=None if record.ended is None else datetime.fromtimestamp(record.ended, UTC),
    )


def job_status(
    job: Job,
    hosts: Sequence[str],
    runs: Mapping[str, Sequence[JobRun]],
    next_run: datetime | None,
    error: str | None,
    now: datetime,
) -> JobStatus:
    """Return the status of a job that is on `hosts`; runs of hosts that are silent stay known.

    `error` says why it is not where it belongs, "" that it is; None changes nothing about that.
    """
    kept = [run for run in job.status.runs if run.host in hosts and run.host not in runs]
    known = sorted((r for each in (kept, *runs.values()) for r in each), key=lambda r: r.started)
    conditions = job.status.conditions
    if error is not None:
        conditions = set_condition(conditions, _ready(job, error, now))
    if job.spec.schedule is None and not job.has_ended:
        conditions = _ended(job, hosts, known, conditions, now)
    return JobStatus(
        observed_generation=job.metadata.generation,
        conditions=conditions,
        hosts=tuple(hosts),
        next_run=next_run,
        runs=tuple(known),
    )


def _ready(job: Job, error: str, now: datetime) -> Condition:
    return Condition(
        type=READY,
        status="False" if error else "True",
        reason="NotPlaced" if error else "Suspended" if job.spec.suspend else "Placed",
        message=error,
        last_transition_time=now,
        observed_generation=job.metadata.generation,
    )


def _ended(
    job: Job, hosts: Sequence[str], runs: Sequence[JobRun], conditions: Conditions, now: datetime
) -> Conditions:
    """Return the conditions with what became of the one run; the last of each host's counts."""
    mine = {run.host: run for run in runs if run.instance == once_of(job)}
    bad = [run for run in mine.values() if run.state in ENDED and run.state != "succeeded"]
    is_done = set(hosts) <= set(mine) and all(run.state in ENDED for run in mine.values())
    verdicts = {COMPLETE: is_done and not bad and bool(hosts), FAILED: bool(bad)}
    for type_, is_so in verdicts.items():
        new = Condition(
            type=type_,
            status="True" if is_so else "False",
            message=f"on {bad[0].host}: {bad[0].result}" if type_ == FAILED and bad else "",
            last_transition_time=now,
            observed_generation=job.metadata.generation,
        )
        conditions = set_condition(conditions, new)
    return conditions
