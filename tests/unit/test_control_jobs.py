"""Where jobs belong, what keeps them out, and what is remembered of their runs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from steersman.api.app import App
from steersman.api.host import Host
from steersman.api.job import Job, JobRun
from steersman.api.meta import is_true
from steersman.control.admission import NotAdmitted, admit_jobs
from steersman.control.job_status import job_status
from steersman.control.jobs import hosts_of
from steersman.drivers.hosts import layout_of
from steersman.drivers.jobs import JobHost, once_of, render_jobs
from steersman.drivers.model import Facts

NOW = datetime(2027, 1, 1, tzinfo=UTC)


def job(status: dict[str, Any] | None = None, **spec: Any) -> Job:
    metadata = {"name": "backup", "generation": 3, "uid": "u"}
    usual = {"app": "shop", "command": "backup"}
    return Job.model_validate({"metadata": metadata, "spec": usual | spec, "status": status or {}})


def app(**spec: Any) -> App:
    usual = {"source": {"path": "/src"}, "processes": {"web": {"command": "x"}}}
    return App.model_validate({"metadata": {"name": "shop"}, "spec": usual | spec})


def host(name: str, **spec: Any) -> Host:
    return Host.model_validate({"metadata": {"name": name}, "spec": {"address": name} | spec})


def refusal(wanted: Job, apps: dict[str, App], hosts: dict[str, Host]) -> str:
    with pytest.raises(NotAdmitted) as refused:
        admit_jobs([wanted], apps, hosts)
    return str(refused.value)


def test_a_job_needs_its_app_a_process_of_it_a_zone_and_systemd() -> None:
    hosts = {"h1": host("h1")}
    admit_jobs([job(process="web", schedule="@daily", timeZone="UTC")], {"shop": app()}, hosts)
    assert "app shop, which does not exist" in refusal(job(), {}, hosts)
    assert "no process wbe; it has web" in refusal(job(process="wbe"), {"shop": app()}, hosts)
    wrong_zone = job(schedule="@daily", timeZone="Europe/Berlni")
    assert "no time zone Europe/Berlni" in refusal(wrong_zone, {"shop": app()}, hosts)
    hosts["h2"] = host("h2", supervisor="supervisor", cordoned=False)
    assert "host h2, and supervisor runs no jobs" in refusal(job(), {"shop": app()}, hosts)
    admit_jobs([job()], {"shop": app(placement={"hosts": ["h1"]})}, hosts)


def test_a_process_of_a_procfile_is_not_known_yet() -> None:
    admit_jobs([job(process="web")], {"shop": app(processes={})}, {"h1": host("h1")})


def test_a_job_stays_where_it_is_while_it_may() -> None:
    assert hosts_of(job(), ["h1", "h2"]) == ["h1"]
    assert hosts_of(job({"hosts": ["h2"]}), ["h1", "h2"]) == ["h2"]
    assert hosts_of(job({"hosts": ["h3"]}), ["h1", "h2"]) == ["h1"]
    assert hosts_of(job(everyHost=True), ["h1", "h2"]) == ["h1", "h2"]
    assert hosts_of(job(), []) == []


def run(host: str, state: str, instance: str, second: int = 0) -> JobRun:
    at = datetime(2026, 12, 31, 0, 0, second, tzinfo=UTC)
    told = {"host": host, "id": f"{host}{second}", "state": state, "release": 1, "started": at}
    return JobRun.model_validate({**told, "invocations": ["i"], "instance": instance})


@pytest.mark.parametrize(
    ("states", "complete", "failed"),
    [
        ({"h1": "succeeded", "h2": "succeeded"}, True, False),
        ({"h1": "succeeded", "h2": "running"}, False, False),
        ({"h1": "succeeded"}, False, False),
        ({"h1": "succeeded", "h2": "failed"}, False, True),
        ({"h1": "lost", "h2": "running"}, False, True),
        ({}, False, False),
    ],
)
def test_a_job_is_complete_when_it_ran_everywhere(
    states: dict[str, str], complete: bool, failed: bool
) -> None:
    wanted = job(everyHost=True)
    runs = {name: [run(name, state, once_of(wanted))] for name, state in states.items()}
    status = job_status(wanted, ["h1", "h2"], runs, None, "", NOW)
    assert is_true(status.conditions, "Complete") is complete
    assert is_true(status.conditions, "Failed") is failed


def test_a_run_of_another_generation_completes_nothing() -> None:
    status = job_status(job(), ["h1"], {"h1": [run("h1", "succeeded", "once-2-x")]}, None, "", NOW)
    assert not is_true(status.conditions, "Complete")


def test_runs_of_a_silent_host_stay_known() -> None:
    old = run("h2", "succeeded", "run", 1).model_dump(mode="json", by_alias=True)
    wanted = job({"runs": [old]}, schedule="@daily", everyHost=True)
    runs = {"h1": [run("h1", "failed", "run", 2)]}
    status = job_status(wanted, ["h1", "h2"], runs, NOW, "", NOW)
    assert [each.host for each in status.runs] == ["h2", "h1"]
    assert [each.host for each in job_status(wanted, ["h1"], runs, NOW, "", NOW).runs] == ["h1"]


def test_what_has_ended_stays_so_and_is_not_asked_for_again() -> None:
    done = job_status(job(), ["h1"], {"h1": [run("h1", "failed", once_of(job()))]}, None, "", NOW)
    moved = job().model_copy(update={"status": done})
    assert moved.has_ended
    there = JobHost("shop", "app-shop", layout_of(host("h2").spec), Facts(systemd=252))
    (target,) = render_jobs(there, (moved,)).jobs
    assert target.once is None
    (target,) = render_jobs(there, (job(),)).jobs
    assert target.once == once_of(job())
    kept = job_status(moved, ["h2"], {"h2": []}, None, "", NOW)
    assert is_true(kept.conditions, "Failed")
    changed = moved.model_copy(
        update={"metadata": moved.metadata.model_copy(update={"generation": 4})}
    )
    assert not changed.has_ended


def test_only_who_places_a_job_says_whether_it_is_placed() -> None:
    lost = job_status(job(schedule="@daily"), ["h1"], {}, None, "h1 is silent", NOW)
    wanted = job(schedule="@daily").model_copy(update={"status": lost})
    assert not is_true(job_status(wanted, ["h1"], {}, NOW, None, NOW).conditions, "Ready")
    assert is_true(job_status(wanted, ["h1"], {}, NOW, "", NOW).conditions, "Ready")
