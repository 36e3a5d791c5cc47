"""Whether objects can stand together: checked before anything of them is remembered."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import Host
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
    placement = app.spec.placement
    return sorted(n for n, h in hosts.items() if placement.matches(n, h.metadata.labels))


def _lost_jumps(hosts: Mapping[str, Host]) -> Iterator[str]:
    for host in hosts.values():
        passed, jump = {host.name}, host.spec.jump
        while jump is not None and jump in hosts:
            if jump in passed:
                yield f"host {host.name} jumps over {jump} in a circle; remove one of the jumps"
                break
            passed.add(jump)
            jump = hosts[jump].spec.jump
