"""What people see of jobs, and what verbs take for one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

from steersman.api.job import Job, JobStatus
from steersman.api.objects import dump_object
from steersman.cli.app import run
from steersman.cli.arguments import app_of
from steersman.cli.columns import rows_of
from steersman.cli.outcomes import conclude
from steersman.cli.progress import Lines
from steersman.control.jobs import JobOutcome

NOW = datetime(2027, 1, 1, 12, 0, tzinfo=UTC)


def row(spec: dict[str, Any], status: dict[str, Any]) -> dict[str, str]:
    metadata = {"name": "backup", "creationTimestamp": "2027-01-01T11:00:00Z"}
    document = {"metadata": metadata, "spec": {"app": "shop", "command": "x", **spec}}
    job = Job.model_validate({**document, "status": status})
    header, cells = rows_of("Job", [dump_object(job)], True, NOW)
    return dict(zip(header, cells, strict=True))


def ran(state: str, started: str, **more: Any) -> dict[str, Any]:
    told = {"host": "h1", "id": "a", "invocations": ["a"], "release": 3, "state": state}
    return {**told, "started": started, **more}


def test_a_schedule_shows_its_last_and_next_run() -> None:
    runs = [
        ran("succeeded", "2027-01-01T11:00:00Z"),
        ran("failed", "2027-01-01T11:58:30Z", result="exit code 3", code=3),
    ]
    status = {"runs": runs, "nextRun": "2027-01-01T13:30:00Z", "hosts": ["h1"]}
    told = row({"schedule": "@daily", "suspend": True}, status)
    assert told["SCHEDULE"] == "@daily" and told["SUSPENDED"] == "yes" and told["ACTIVE"] == "0"
    assert (told["LAST RUN"], told["RESULT"]) == ("90s", "failed (exit code 3)")
    assert (told["NEXT RUN"], told["HOST"]) == ("in 90m", "h1")


def test_a_job_that_never_ran_and_one_that_runs() -> None:
    told = row({}, {})
    assert told["SCHEDULE"] == "once"
    assert {told[column] for column in ("LAST RUN", "RESULT", "NEXT RUN", "HOST")} == {"<none>"}
    told = row({}, {"runs": [ran("retrying", "2027-01-01T11:59:59Z")], "hosts": ["h1", "h2"]})
    assert (told["ACTIVE"], told["RESULT"], told["HOST"]) == ("1", "retrying", "h1,h2")


@pytest.mark.parametrize("word", ["host/h1", "job/", "app/shop"])
def test_job_run_takes_only_jobs(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["job", "run", word]) == 2
    assert "job/NAME" in capsys.readouterr().err


def test_logs_of_a_job_know_no_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["logs", "job/backup", "-p", "web"]) == 2
    assert "no processes" in capsys.readouterr().err
    with pytest.raises(click.UsageError, match="no app; write app/NAME"):
        app_of("job/backup")


def test_a_job_that_nobody_applied_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["job", "run", "backup", "--state-dir", str(tmp_path / "state")]) == 1
    assert "`steer get jobs` lists them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"nextRun": "2027-01-01T13:30:00Z"}, "on h1, next run 2027-01-01T13:30:00+00:00"),
        ({"runs": [ran("running", "2027-01-01T11:00:00Z")]}, "on h1, runs now"),
        ({"runs": [ran("succeeded", "2027-01-01T11:00:00Z")]}, "on h1, nothing runs it"),
    ],
)
def test_apply_says_when_a_job_runs(
    status: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = JobStatus.model_validate({"hosts": ["h1"], **status})
    conclude((), Lines(click.echo, click.echo), [JobOutcome("backup", found)])
    assert capsys.readouterr().out == f"job/backup: {told}\n"
