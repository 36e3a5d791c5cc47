"""Which releases of an app are past their time on a host."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.planning.seen import HostSeen, parse_unit
from steersman.planning.steps import Collect
from steersman.planning.target import AppTarget


def plan_garbage(target: AppTarget, seen: HostSeen) -> Iterator[Collect]:
    """Yield the step that removes what is past the history, when there is any."""
    found = _past(target, seen, target.keep | {target.release}, "past the history that is kept")
    if found.releases or found.builds_ or found.envs:
        yield found


def spare_now(target: AppTarget, seen: HostSeen) -> Collect:
    """Return what may go before the target's release is there, to make room for it.

    Beyond what is kept anyway, nothing goes that runs, serves or would start with the host. It may
    name nothing: blobs that nothing refers to go even then.
    """
    app = seen.app(target.name)
    links = {link.rpartition("/")[2] for link in (app.current, app.links.get("serving")) if link}
    names = [parse_unit(unit) for unit in seen.units_of(target.name)]
    numbers = {str(name.number) for name in names if name is not None}
    running = {name for name in app.releases if name.partition("-")[0] in numbers}
    keep = target.keep | {target.release} | links | running
    return _past(target, seen, keep, "room for the new release")


def _past(target: AppTarget, seen: HostSeen, keep: frozenset[str], why: str) -> Collect:
    app = seen.app(target.name)
    old = tuple(sorted(name for name in app.releases if name not in keep))
    kept_builds = {build for name, build in app.releases.items() if name in keep}
    builds = tuple(sorted(app.builds - kept_builds - {target.build.digest}))
    numbers = {name.partition("-")[0] for name in keep}
    wanted = {file.path.rpartition("/")[2] for file in target.env_files}
    envs = tuple(
        sorted(n for n in app.envs if n not in wanted and n.partition(".")[0] not in numbers)
    )
    return Collect(why, target.name, old, builds, envs)
