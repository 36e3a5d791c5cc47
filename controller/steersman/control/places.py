"""Where an app is and what it runs: the choices that `logs` and `exec` are given."""

from __future__ import annotations

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.release import Release
from steersman.control.admission import placed
from steersman.control.memory import Memory


async def hosts_of(memory: Memory, app: App, host: str | None) -> list[str]:
    """Return the hosts of an app, or the one that was asked for; raises when it is on none."""
    hosts = await memory.hosts()
    names = [name for name in app.status.hosts if name in hosts] or placed(app, hosts)
    if host is not None and host not in names:
        raise SteersmanError(
            f"app {app.name} is not on host {host}; it is on {', '.join(names) or 'none'}"
        )
    if not names:
        raise SteersmanError(f"app {app.name} is on no host yet; `steer apply` brings it there")
    return names if host is None else [host]


async def serving_release(memory: Memory, app: App) -> Release | None:
    """Return the release that serves, else the newest."""
    releases = await memory.releases(app.name)
    serving = [each for each in releases if each.spec.number == app.status.release]
    return next(iter([*serving, *reversed(releases)]), None)


async def processes_of(memory: Memory, app: App) -> list[str]:
    """Return the names of an app's processes; a Procfile's are known once it was built."""
    release = await serving_release(memory, app)
    released = release.spec.template.processes if release is not None else {}
    return sorted({*app.spec.processes, *released})


async def known_process(memory: Memory, app: App, process: str) -> None:
    """Raise unless the app has this process."""
    known = await processes_of(memory, app)
    if process not in known:
        raise SteersmanError(
            f"app {app.name} has no process {process}; it has {', '.join(known) or 'none yet'}"
        )
