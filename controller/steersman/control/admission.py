"""Whether objects can stand together: checked before anything of them is remembered."""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection, Iterator, Mapping

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.api.job import Job
from steersman.planning.fleet import meant
from steersman.planning.placement import place


class NotAdmitted(SteersmanError):
    """Objects that are each valid do not fit together; every reason at once."""

    def __init__(self, problems: Collection[str]) -> None:
        super().__init__("\n".join(problems) + "\nnothing was applied")
        self.problems = tuple(problems)


def admit(apps: Mapping[str, App], hosts: Mapping[str, Host], secrets: Collection[str]) -> None:
    """Raise NotAdmitted unless every app finds its secrets, and no two share a server name."""
    problems = [*_missing_secrets(apps, secrets), *_missing_hosts(apps, hosts)]
    problems += [*_shared_names(apps, hosts), *_lost_jumps(hosts)]
    if problems:
        raise NotAdmitted(problems)


def admit_jobs(jobs: Collection[Job], apps: Mapping[str, App], hosts: Mapping[str, Host]) -> None:
    """Raise NotAdmitted unless every job finds its app, its process, systemd and its time zone."""
    problems = [problem for job in jobs for problem in _job_problems(job, apps, hosts)]
    if problems:
        raise NotAdmitted(problems)


def _job_problems(job: Job, apps: Mapping[str, App], hosts: Mapping[str, Host]) -> Iterator[str]:
    spec, zones = job.spec, zoneinfo.available_timezones()
    if zones and spec.time_zone is not None and spec.time_zone not in zones:
        yield f"job {job.name}: there is no time zone {spec.time_zone}; write one as Europe/Berlin"
    app = apps.get(spec.app)
    if app is None:
        yield f"job {job.name} belongs to app {spec.app}, which does not exist; apply it as well"
        return
    # A Procfile's processes are known only to a build.
    if spec.process is not None and app.spec.processes and spec.process not in app.spec.processes:
        known = ", ".join(app.spec.processes)
        yield f"job {job.name}: app {app.name} has no process {spec.process}; it has {known}"
    for name in placed(app, hosts):
        supervisor = hosts[name].spec.supervisor
        if supervisor != "systemd":
            yield (
                f"job {job.name}: app {app.name} is placed on host {name}, and {supervisor} runs no"
                " jobs; place the app on hosts with systemd, or run the command by `steer exec`"
            )


def placed(app: App, hosts: Mapping[str, Host]) -> list[str]:
    """Return the names of the hosts that should run `app`."""
    return list(place(app, hosts).hosts)


def _missing_secrets(apps: Mapping[str, App], secrets: Collection[str]) -> Iterator[str]:
    for app in apps.values():
        for name in app.spec.config.secrets:
            if name not in secrets:
                yield f"app {app.name} uses secret {name}, which does not exist; apply it as well"


def _missing_hosts(apps: Mapping[str, App], hosts: Mapping[str, Host]) -> Iterator[str]:
    for app in apps.values():
        for name in app.spec.placement.hosts or ():
            if name not in hosts:
                yield f"app {app.name} is placed on host {name}, which does not exist; apply it too"


def _shared_names(apps: Mapping[str, App], hosts: Mapping[str, Host]) -> Iterator[str]:
    owners: dict[tuple[str, str], str] = {}
    told = set()
    for app in sorted(apps.values(), key=lambda app: app.name):
        # Wherever they may come to be: a drained host or a scaled app must not make them meet.
        for host in _meant(app, hosts):
            for name in sorted({route.host for route in app.spec.routes}):
                owner = owners.setdefault((host, name), app.name)
                if owner != app.name and (owner, app.name, name) not in told:
                    told.add((owner, app.name, name))
                    yield (
                        f"apps {owner} and {app.name} both route {name} on host {host};"
                        " give one another name, or place them apart"
                    )


def _meant(app: App, hosts: Mapping[str, Host]) -> list[str]:
    return sorted(meant(app.spec.placement, hosts))


def _lost_jumps(hosts: Mapping[str, Host]) -> Iterator[str]:
    for host in hosts.values():
        passed, jump = {host.name}, host.spec.jump
        while jump is not None and jump in hosts:
            if jump in passed:
                yield f"host {host.name} jumps over {jump} in a circle; remove one of the jumps"
                break
            passed.add(jump)
            jump = hosts[jump].spec.jump
