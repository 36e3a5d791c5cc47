"""What verbs answer, as plain data and back: outcomes of apps and jobs, plans, what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.job import JobStatus
from steersman.api.objects import dump_object, parse_object
from steersman.api.release import Release
from steersman.control.adopt import Adopted
from steersman.control.editing import Edited
from steersman.control.faults import decode_error, encode_error
from steersman.control.jobs import JobOutcome, JobSteps
from steersman.control.outcome import Applied, HostOutcome, Outcome
from steersman.control.plans import Planned
from steersman.control.prune import Pruned
from steersman.control.report import Verdict
from steersman.control.repositories import Followed
from steersman.control.told import ToldStep
from steersman.planning.inventory import Key
from steersman.planning.plans import Plan
from steersman.planning.steps import Step

Data = dict[str, Any]


def encode_outcome(outcome: Outcome) -> Data:
    return {
        "app": outcome.app,
        "release": dump_object(outcome.release) if outcome.release is not None else None,
        "hosts": [_host(each) for each in outcome.hosts],
        "error": encode_error(outcome.error) if outcome.error is not None else None,
        "halted": outcome.halted,
        "waiting": sorted(outcome.waiting),
        "shares": {host: dict(share) for host, share in outcome.shares.items()},
    }


def decode_outcome(data: Mapping[str, Any]) -> Outcome:
    release = parse_object(data["release"]) if data["release"] is not None else None
    return Outcome(
        app=data["app"],
        release=release if isinstance(release, Release) else None,
        hosts=tuple(_told_host(each) for each in data["hosts"]),
        error=decode_error(data["error"]) if data["error"] is not None else None,
        halted=data["halted"],
        waiting=frozenset(data["waiting"]),
        shares=data["shares"],
    )


def encode_outcomes(outcomes: Sequence[Outcome]) -> list[Data]:
    return [encode_outcome(each) for each in outcomes]


def decode_outcomes(data: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    return [decode_outcome(each) for each in data]


def encode_applied(applied: Applied) -> Data:
    return {
        "changes": [list(each) for each in applied.changes],
        "outcomes": encode_outcomes(applied.outcomes),
        "jobs": [_job(each) for each in applied.jobs],
        "errors": [encode_error(each) for each in applied.errors],
    }


def decode_applied(data: Mapping[str, Any]) -> Applied:
    return Applied(
        changes=tuple((str(key), str(change)) for key, change in data["changes"]),
        outcomes=tuple(decode_outcomes(data["outcomes"])),
        jobs=tuple(_told_job(each) for each in data["jobs"]),
        errors=tuple(decode_error(each) for each in data["errors"]),
    )


def encode_edited(edited: Edited) -> Data:
    return {
        "results": [
            {"error": encode_error(each)} if isinstance(each, SteersmanError) else {"change": each}
            for each in edited.results
        ],
        "outcomes": encode_outcomes(edited.outcomes),
        "jobs": [_job(each) for each in edited.jobs],
    }


def decode_edited(data: Mapping[str, Any]) -> Edited:
    return Edited(
        results=tuple(
            decode_error(each["error"]) if "error" in each else str(each["change"])
            for each in data["results"]
        ),
        outcomes=tuple(decode_outcomes(data["outcomes"])),
        jobs=tuple(_told_job(each) for each in data["jobs"]),
    )


def encode_adopted(adopted: Adopted) -> Data:
    return {
        "apps": [dump_object(each) for each in adopted.apps],
        "releases": [dump_object(each) for each in adopted.releases],
        "errors": [encode_error(each) for each in adopted.errors],
    }


def decode_adopted(data: Mapping[str, Any]) -> Adopted:
    apps = [parse_object(each) for each in data["apps"]]
    releases = [parse_object(each) for each in data["releases"]]
    return Adopted(
        apps=tuple(each for each in apps if isinstance(each, App)),
        releases=tuple(each for each in releases if isinstance(each, Release)),
        errors=tuple(decode_error(each) for each in data["errors"]),
    )


def encode_followed(followed: Followed) -> Data:
    applied, pruned = followed.applied, followed.pruned
    return {
        "name": followed.name,
        "after": followed.after,
        "commit": followed.commit,
        "applied": encode_applied(applied) if applied is not None else None,
        "removed": [list(key) for key in pruned.removed],
        "protected": [[*key, why] for key, why in pruned.protected.items()],
        "notPruned": [encode_error(each) for each in pruned.errors],
        "error": encode_error(followed.error) if followed.error is not None else None,
    }


def decode_followed(data: Mapping[str, Any]) -> Followed:
    pruned = Pruned(
        removed=tuple(Key(*each) for each in data["removed"]),
        protected={Key(kind, name): str(why) for kind, name, why in data["protected"]},
        errors=tuple(decode_error(each) for each in data["notPruned"]),
    )
    return Followed(
        name=data["name"],
        after=data["after"],
        commit=data["commit"],
        applied=decode_applied(data["applied"]) if data["applied"] is not None else None,
        pruned=pruned,
        error=decode_error(data["error"]) if data["error"] is not None else None,
    )


def encode_planned(planned: Planned) -> Data:
    plan = planned.plan
    return {
        "outcomes": encode_outcomes(planned.outcomes),
        "jobs": encode_job_plans(planned.jobs),
        "plan": None if plan is None else encode_plan(plan),
    }


def decode_planned(data: Mapping[str, Any]) -> Planned:
    plan = data["plan"]
    return Planned(
        outcomes=tuple(decode_outcomes(data["outcomes"])),
        jobs=decode_job_plans(data["jobs"]),
        plan=None if plan is None else Plan.model_validate(plan, by_alias=True, by_name=False),
    )


def encode_plan(plan: Plan) -> Data:
    data: Data = plan.model_dump(mode="json", by_alias=True, exclude_none=True)
    return data


def encode_job_plans(plans: Mapping[str, JobSteps]) -> Data:
    return {
        app: {host: [_step(step) for step in steps] for host, steps in by_host.items()}
        for app, by_host in plans.items()
    }


def decode_job_plans(data: Mapping[str, Any]) -> dict[str, JobSteps]:
    return {
        app: {host: tuple(map(_told_step, steps)) for host, steps in by_host.items()}
        for app, by_host in data.items()
    }


def _host(host: HostOutcome) -> Data:
    return {
        "host": host.host,
        "verdict": host.verdict,
        "steps": [_step(step) for step in host.steps],
        "error": encode_error(host.error) if host.error is not None else None,
    }


def _told_host(data: Mapping[str, Any]) -> HostOutcome:
    return HostOutcome(
        host=data["host"],
        verdict=cast(Verdict, data["verdict"]),
        steps=tuple(map(_told_step, data["steps"])),
        error=decode_error(data["error"]) if data["error"] is not None else None,
    )


def _job(job: JobOutcome) -> Data:
    return {
        "job": job.job,
        "status": job.status.model_dump(mode="json", by_alias=True, exclude_none=True),
        "error": encode_error(job.error) if job.error is not None else None,
    }


def _told_job(data: Mapping[str, Any]) -> JobOutcome:
    status = JobStatus.model_validate(data["status"], by_alias=True, by_name=False)
    error = decode_error(data["error"]) if data["error"] is not None else None
    return JobOutcome(data["job"], status, error)


def _step(step: Step) -> Data:
    """Return what a person may read of a step: never a value of the environment."""
    return {"text": step.text, "why": step.why}


def _told_step(data: Mapping[str, Any]) -> Step:
    return ToldStep(why=str(data["why"]), what=str(data["text"]))
