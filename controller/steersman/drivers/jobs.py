"""systemd's words for a job: a template for its runs, and the timer that starts them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from steersman.api.job import Job, JobSpec
from steersman.drivers.model import Facts, Layout
from steersman.drivers.shipped import source_of
from steersman.drivers.systemd import HARDENING, limits_of
from steersman.drivers.unitfile import (
    CannotRender,
    Directive,
    Section,
    environment,
    exec_words,
    one_line,
    path,
    render,
)
from steersman.planning.jobs import FOLDER, JobsTarget, JobTarget, stem_of
from steersman.planning.target import File, Folder

OLDEST = 244
"""The first systemd with ExecCondition= and with Restart= for Type=oneshot."""
SCHEDULED = "run"
"""The instance of runs that may not overlap."""


@dataclass(frozen=True, slots=True)
class JobHost:
    """What rendering a job needs: the app, the user it runs as, and the host's layout."""

    app: str
    user: str
    layout: Layout
    facts: Facts

    @property
    def folder(self) -> str:
        return self.layout.app(self.app, FOLDER)

    @property
    def run(self) -> str:
        return f"{self.layout.run}/{self.app}"

    @property
    def runner(self) -> str:
        return f"{self.folder}/jobrun.py"

    def definition(self, job: str) -> str:
        return f"{self.folder}/{job}.json"

    def stem(self, job: str) -> str:
        return stem_of(self.app, job)


def once_of(job: Job) -> str:
    """Return the instance of the one run that this generation of a job asks for."""
    uid = hashlib.sha256(str(job.metadata.uid).encode()).hexdigest()[:8]
    return f"once-{job.metadata.generation}-{uid}"


def render_jobs(host: JobHost, jobs: tuple[Job, ...]) -> JobsTarget:
    """Return what a host should hold of an app's jobs. Raises CannotRender."""
    if jobs and host.facts.systemd < OLDEST:
        raise CannotRender(
            f"jobs need systemd {OLDEST}, and a host has {host.facts.systemd};"
            " place their app on newer hosts"
        )
    return JobsTarget(
        app=host.app,
        units_dir=host.layout.units,
        folder=Folder(host.folder, 0o755, "root:root"),
        runner=File(host.runner, source_of("jobrun")),
        jobs=tuple(_job(host, job) for job in sorted(jobs, key=lambda job: job.name)),
    )


def _job(host: JobHost, job: Job) -> JobTarget:
    spec, stem = job.spec, host.stem(job.name)
    files = [_unit(host, f"{stem}@.service", _run(host, job))]
    has_timer = spec.schedule is not None and not spec.suspend
    is_due = spec.schedule is None and not spec.suspend and not job.has_ended
    if has_timer:
        files.append(_unit(host, f"{stem}.timer", _timer(host, job)))
        if spec.concurrency != "Forbid":
            files.append(_unit(host, f"{stem}.service", _starter(host, job)))
    return JobTarget(
        name=job.name,
        unit_files=tuple(files),
        mark=File(host.definition(job.name), _definition(host, job, files), 0o600),
        timer=f"{stem}.timer" if has_timer else None,
        # Where it has run is remembered: it does not run again on a host that it moved to.
        once=once_of(job) if is_due else None,
        stops_others=spec.concurrency == "Replace",
        waits_for_others=spec.concurrency == "Forbid",
    )


def _unit(host: JobHost, name: str, sections: list[Section]) -> File:
    return File(f"{host.layout.units}/{name}", render(sections))


def _definition(host: JobHost, job: Job, files: list[File]) -> bytes:
    """Return what the runner reads; it names its unit files, so that it differs when they do."""
    spec = job.spec
    units = hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
    told = {
        "job": job.name,
        "unit": host.stem(job.name),
        "home": host.layout.app(host.app),
        "run": host.run,
        "user": host.user,
        "argv": list(spec.command),
        "process": spec.process or "",
        "stop": spec.stop.signal,
        "retries": spec.retries,
        "keep": {"successful": spec.history.successful, "failed": spec.history.failed},
        "once": once_of(job) if spec.schedule is None else "",
        "units": units,
    }
    return json.dumps(told, sort_keys=True).encode()


def _run(host: JobHost, job: Job) -> list[Section]:
    """Return the template of a job's runs: each is pinned to the release current at its start."""
    spec, stem = job.spec, host.stem(job.name)
    unit: list[Directive] = [
        ("Description", f"{host.app} job {job.name} (%i)"),
        ("After", "network-online.target"),
        ("StartLimitIntervalSec", "0"),
        # How it went is in its record: nothing of it stays loaded.
        ("CollectMode", "inactive-or-failed"),
    ]
    runner, definition = ["/usr/bin/python3", "-I", host.runner], host.definition(job.name)
    service: list[Directive] = [
        # While it runs it is "activating": systemd does not start it a second time.
        ("Type", "oneshot"),
        ("User", host.user),
        ("Group", host.user),
        *(("Environment", environment(*pair)) for pair in _variables(host, job).items()),
        ("ExecCondition", "+" + exec_words([*runner, "begin", definition]) + " %i"),
        ("ExecStart", exec_words([*runner, "run", path(f"{host.run}/{job.name}@")]) + " %i"),
        ("ExecStopPost", "+" + exec_words([*runner, "end", definition]) + " %i"),
        ("SyslogIdentifier", stem),
        *_life(host, spec),
        *limits_of(spec.limits),
        *HARDENING,
        ("ReadWritePaths", path(host.layout.app(host.app, "shared"))),
        ("UMask", "0027"),
    ]
    return [("Unit", unit), ("Service", service)]


def _variables(host: JobHost, job: Job) -> dict[str, str]:
    """Return what does not depend on the release; the runner adds what does."""
    variables = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": host.layout.app(host.app, "shared"),
        "LANG": "C.UTF-8",
        "XDG_RUNTIME_DIR": "/tmp",  # noqa: S108 - PrivateTmp makes it this run's own
        "STEER_APP": host.app,
        "STEER_JOB": job.name,
    }
    return variables | ({"STEER_PROCESS": job.spec.process} if job.spec.process else {})


def _life(host: JobHost, spec: JobSpec) -> Iterator[Directive]:
    yield "TimeoutStartSec", "infinity" if spec.timeout is None else f"{spec.timeout:g}"
    # TERM to the main process; what is left of its group when that ends is killed.
    yield "KillMode", "mixed"
    yield "KillSignal", f"SIG{spec.stop.signal}"
    yield "TimeoutStopSec", f"{spec.stop.timeout:g}"
    if spec.retries:
        yield "Restart", "on-failure"
        yield "RestartSec", f"{spec.retry_delay:g}"


def _timer(host: JobHost, job: Job) -> list[Section]:
    spec, stem = job.spec, host.stem(job.name)
    starts = f"{stem}@{SCHEDULED}.service" if spec.concurrency == "Forbid" else f"{stem}.service"
    timer: list[Directive] = [
        *(("OnCalendar", one_line(calendar)) for calendar in spec.calendars),
        ("Unit", starts),
        # systemd's own default is a minute.
        ("AccuracySec", "100ms"),
        ("Persistent", "yes" if spec.missed == "run" else "no"),
    ]
    return [
        ("Unit", [("Description", f"{host.app} job {job.name}: {one_line(spec.schedule or '')}")]),
        ("Timer", timer),
    ]


def _starter(host: JobHost, job: Job) -> list[Section]:
    """Return what a timer starts where runs overlap, or replace one another."""
    stem = host.stem(job.name)
    if job.spec.concurrency == "Replace":
        words = exec_words(["/usr/bin/systemctl", "restart", "--no-block"])
        words += f" {stem}@{SCHEDULED}.service"
    else:
        words = exec_words(["/usr/bin/systemctl", "start", "--no-block"])
        words += f" {stem}@${{INVOCATION_ID}}.service"
    unit = [
        ("Description", f"{host.app} job {job.name} (what starts its runs)"),
        ("StartLimitIntervalSec", "0"),
        ("CollectMode", "inactive-or-failed"),
    ]
    service = [("Type", "oneshot"), ("ExecStart", words), ("SyslogIdentifier", stem)]
    return [("Unit", unit), ("Service", service)]
