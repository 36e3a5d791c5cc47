"""Where the processes of a release send their StatsD: a port each, so that each is known by it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping

from steersman.api.release import Release, ReleaseSpec

PORTS = range(10_000, 20_000)
"""UDP, below those for $PORT and below what kernels give out by themselves."""
RUNNING = 4
"""Releases of an app, from the newest on, that may run beside each other or be gone back to."""
HOST, PORT = "STATSD_HOST", "STATSD_PORT"
ONCE = "once"
"""What the metrics of release commands, and of jobs that are of no process, name as process."""


def statsd_ports(spec: ReleaseSpec, releases: Iterable[Release]) -> dict[str, int]:
    """Return a port for each process of a new release, and for what runs once.

    None is of another that may still run.

    Where all are taken the process gets none: nothing is better than another one's.

    A digest of the names says where to begin, so that an equal question has an equal answer.
    """
    of_apps: dict[str, list[ReleaseSpec]] = {}
    for each in releases:
        if (each.spec.app, each.spec.number) != (spec.app, spec.number):
            of_apps.setdefault(each.spec.app, []).append(each.spec)
    newest = (sorted(found, key=lambda one: one.number)[-RUNNING:] for found in of_apps.values())
    taken = {port for found in newest for one in found for port in one.statsd.values()}
    found: dict[str, int] = {}
    # Where all but one are taken, processes come first.
    for process in [*sorted(spec.template.processes), *once_of(spec)]:
        port = _free(f"{spec.app}/{process}/{spec.number}", taken)
        if port is None:
            break
        found[process] = port
        taken.add(port)
    return found


def _free(name: str, taken: Collection[int]) -> int | None:
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % len(PORTS)
    return next((port for port in (*PORTS[start:], *PORTS[:start]) if port not in taken), None)


def once_of(spec: ReleaseSpec) -> tuple[str, ...]:
    """Return ONCE, unless a process of the app has that name."""
    return () if ONCE in spec.template.processes else (ONCE,)


def once_envs(spec: ReleaseSpec, shared: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return, by the name of its env file, what only runs once is given; no process is named so."""
    found = {f"{spec.number}.@{name}": statsd_env(spec, name, shared) for name in once_of(spec)}
    return {name: env for name, env in found.items() if env}


def statsd_env(spec: ReleaseSpec, process: str, shared: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that say where to send; none where the app says one of them itself."""
    template = spec.template.processes.get(process)
    own = {**shared, **(template.env if template is not None else {})}
    if process not in spec.statsd or HOST in own or PORT in own:
        return {}
    return {HOST: "127.0.0.1", PORT: str(spec.statsd[process])}
