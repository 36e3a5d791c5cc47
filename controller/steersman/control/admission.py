"""Whether objects can stand together: checked before anything of them is remembered."""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.api.job import Job
from steersman.api.plugin import Plugin, refs_in
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


def admit_plugins(
    plugins: Collection[Plugin],
    secrets: Mapping[str, Collection[str]],
    checks: Mapping[str, Mapping[str, Any] | str],
) -> None:
    """Raise NotAdmitted unless every plugin finds its Secrets and its type takes what it says.

    `secrets` are the keys of each; `checks` are what types answered, or why there is no answer.
    """
    problems = [
        problem
        for plugin in plugins
        for problem in (*_lost_values(plugin, secrets), *_misfits(plugin, checks[plugin.name]))
    ]
    if problems:
        raise NotAdmitted(problems)


def _lost_values(plugin: Plugin, secrets: Mapping[str, Collection[str]]) -> Iterator[str]:
    for path, ref in refs_in(plugin.spec.config):
        where = f"plugin {plugin.name}: spec.config.{'.'.join(map(str, path))}"
        if ref.secret not in secrets:
            yield f"{where} takes from secret {ref.secret}, which does not exist; apply it too"
        elif ref.key not in secrets[ref.secret]:
            known = ", ".join(secrets[ref.secret]) or "nothing"
            yield f"{where} takes {ref.key} of secret {ref.secret}, which has {known}"


def _misfits(plugin: Plugin, check: Mapping[str, Any] | str) -> Iterator[str]:
    if isinstance(check, str):
        yield f"plugin {plugin.name}: {check}"
        return
    takes, wanted = check["takes"], plugin.spec.signals or ()
    for name in wanted:
        if name not in takes:
            yield (
                f"plugin {plugin.name}: spec.signals: found {name}; allowed:"
                f" {', '.join(takes)}, which is what {plugin.spec.type} takes"
            )
    refs = [tuple(map(str, path)) for path, _ in refs_in(plugin.spec.config)]
    for fault in check["faults"]:
        at = tuple(fault["at"])
        if not _is_for_later(at, fault["type"], refs):
            yield f"plugin {plugin.name}: spec.config.{'.'.join(at)}: {fault['why']}"


def _is_for_later(at: tuple[str, ...], type_: str, refs: Collection[tuple[str, ...]]) -> bool:
    """Return whether a fault may be that of the mask that stands for a value of a Secret here."""
    if type_ in ("extra_forbidden", "missing") or type_.endswith("_type"):
        return False
    return any(at[: len(ref)] == ref or ref[: len(at)] == at for ref in refs)


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
