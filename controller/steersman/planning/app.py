"""From what an app should be on a host and what is there: the steps between, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from steersman.api.errors import SteersmanError
from steersman.planning.booting import plan_booting
from steersman.planning.files import plan_file
from steersman.planning.garbage import plan_garbage, spare_now
from steersman.planning.retiring import STOP_LIMIT, plan_retire, stopping
from steersman.planning.seen import FileSeen, HostSeen
from steersman.planning.steps import (
    Commit,
    EnsureDir,
    EnsureUser,
    MakeBuild,
    MakeRelease,
    PassGate,
    ReloadUnits,
    RemoveSite,
    Soak,
    StartProxy,
    StartUnits,
    Step,
    StopUnits,
    Switch,
    Upload,
    WriteSite,
)
from steersman.planning.target import AppTarget, ProcessTarget


class NameTaken(SteersmanError):
    """A route wants a server name that another site on the host already has."""


def plan_app(target: AppTarget, seen: HostSeen) -> tuple[Step, ...]:
    """Return the steps from `seen` to `target`.

    Level-triggered: after a crash anywhere, planning again from what is then seen gives what is
    left to do. Nothing takes traffic before its gate, nothing is retired before the commit.
    """
    refuse_taken_names(target, seen)
    steps = [*_prepare(target, seen, is_starting=True)]
    steps += _start(target, seen)
    steps += _hand_over(target, seen)
    steps += plan_retire(target, seen)
    steps += plan_garbage(target, seen)
    return tuple(steps)


def plan_prepare(target: AppTarget, seen: HostSeen) -> tuple[Step, ...]:
    """Return the steps that put the target's release on the host and start nothing of it."""
    refuse_taken_names(target, seen)
    return tuple(_prepare(target, seen, is_starting=False))


def beside(target: AppTarget) -> AppTarget:
    """Return the target with those processes that may run while older ones still do."""
    together = tuple(process for process in target.processes if not process.stop_first)
    return replace(target, processes=together)


def plan_boot(target: AppTarget, seen: HostSeen) -> tuple[Step, ...]:
    """Return the steps that start the target's generation beside any other; none gates it."""
    refuse_taken_names(target, seen)
    booted = beside(target)
    steps = [*_prepare(booted, seen, is_starting=True)]
    return (*steps, *_start_units(_stopped(booted, seen), seen))


def plan_stop(target: AppTarget, seen: HostSeen) -> tuple[Step, ...]:
    """Return the steps that stop every generation but the target's, traffic or not."""
    surplus = sorted(set(seen.units_of(target.name)) - target.units)
    # No drain: while traffic still goes there, it would never be empty.
    return tuple(stopping(surplus, (), 0.0, "no two releases may run at once", seen))


def refuse_taken_names(target: AppTarget, seen: HostSeen) -> None:
    for name in target.server_names:
        if name in seen.foreign_names:
            raise NameTaken(
                f"app {target.name}: the name {name} is already served by"
                f" {seen.foreign_names[name]} on that host;"
                " remove that site or change spec.routes"
            )


def _prepare(target: AppTarget, seen: HostSeen, *, is_starting: bool) -> Iterator[Step]:
    app = seen.app(target.name)
    if target.user and seen.users.get(target.user) != target.home:
        yield EnsureUser("the app runs as its own user", target.user, target.home)
    for folder in target.folders:
        if not _has_folder(folder.path, target, seen):
            yield EnsureDir("absent", folder.path, folder.mode, folder.owner)
    build = target.build
    if build.digest not in app.builds:
        why = "this build is not on the host"
        garbage = spare_now(target, seen)
        yield Upload(why, f"build {build.digest[:12]}", build.blobs, build.manifest, garbage)
        yield MakeBuild(why, target.name, build.digest, build.manifest, build.python)
    if app.releases.get(target.release) != build.digest:
        why = f"release {target.number} is not on the host"
        yield MakeRelease(why, target.name, target.release, build.digest, dict(target.record))
    for file in target.env_files:
        name = file.path.rpartition("/")[2]
        yield from plan_file(file, app.envs.get(name))
    units = [s for f in target.unit_files for s in plan_file(f, seen.files.get(f.path))]
    yield from units
    # A unit that the supervisor does not know yet is read when it starts.
    if units and any(unit in seen.units for unit in target.units):
        yield ReloadUnits("unit files changed")
    elif is_starting and any(unit in seen.units for unit in _stopped(target, seen)):
        # Whoever wrote the files may have died before the supervisor read them.
        yield ReloadUnits("it may not have read the files of what starts now")


def _has_folder(path: str, target: AppTarget, seen: HostSeen) -> bool:
    app, (folder, _, name) = seen.app(target.name), path.rpartition("/")
    return name in (app.run if folder == f"{target.run}/{target.name}" else app.dirs)


def _start(target: AppTarget, seen: HostSeen) -> Iterator[Step]:
    stopped = _stopped(target, seen)
    for process in target.processes:
        if process.stop_first:
            old = _others_of(process, target, seen)
            yield from stopping(old, (), 0.0, f"only one {process.name} may run at a time", seen)
    stale = tuple(unit for unit in stopped if seen.is_running(unit))
    if stale:
        runs = ", ".join(sorted({seen.runs[unit].rstrip("!") for unit in stale}))
        why = f"it was started as release {runs}, and not as its files say"
        yield StopUnits(why, stale, STOP_LIMIT)
    yield from _start_units(stopped, seen)
    if target.processes and (stopped or not is_committed(target, seen)):
        yield gate_of(target)


def _start_units(stopped: tuple[str, ...], seen: HostSeen) -> Iterator[Step]:
    if stopped:
        state = ", ".join(sorted({seen.units.get(u, ("absent", ""))[0] for u in stopped}))
        yield StartUnits(state, stopped)


def gate_of(target: AppTarget) -> PassGate:
    """Return the step that waits until every process of the target is healthy."""
    return PassGate(
        "no traffic before it is healthy",
        tuple(process.watch for process in target.processes),
        target.deadline,
        target.settle,
        target.patience,
    )


def _stopped(target: AppTarget, seen: HostSeen) -> tuple[str, ...]:
    units = (unit for process in target.processes for unit in process.units)
    return tuple(unit for unit in units if not seen.is_running(unit) or seen.is_stale(unit))


def _others_of(process: ProcessTarget, target: AppTarget, seen: HostSeen) -> list[str]:
    prefix = f"steersman-{target.name}.{process.name}.g"
    units = [unit for unit in seen.units if unit.startswith(prefix)]
    return sorted(unit for unit in units if unit not in process.units)


def is_committed(target: AppTarget, seen: HostSeen) -> bool:
    """Whether traffic and the next boot both already belong to the target's release."""
    app = seen.app(target.name)
    return app.current == f"releases/{target.release}" and not list(_switches(target, seen))


def _switches(target: AppTarget, seen: HostSeen) -> Iterator[Step]:
    links = seen.app(target.name).links
    wanted = f"{target.root}/apps/{target.name}/releases/{target.release}"
    if links.get("serving") != wanted:
        yield Switch(_was(links.get("serving")), target.serving, wanted)
    for process in target.processes:
        if process.link is None or process.link_target is None:
            continue
        now = links.get(process.link.rpartition("/")[2])
        if now != process.link_target:
            yield Switch(_was(now), process.link, process.link_target)


def _was(link: str | None) -> str:
    return "absent" if link is None else f"it points at {link}"


def _hand_over(target: AppTarget, seen: HostSeen) -> Iterator[Step]:
    committed = is_committed(target, seen)
    yield from _switches(target, seen)
    yield from _plan_site(target, seen)
    if not committed and target.min_ready > 0 and target.processes:
        watched = tuple(process.watch for process in target.processes)
        failures = min(process.failures for process in target.processes)
        yield Soak("a release proves itself first", watched, target.min_ready, failures)
    yield from plan_booting(target, seen)
    app = seen.app(target.name)
    if app.current != f"releases/{target.release}":
        yield Commit(_was(app.current), target.current, f"releases/{target.release}")


def _plan_site(target: AppTarget, seen: HostSeen) -> Iterator[Step]:
    now = seen.files.get(target.site_path)
    if target.site is None:
        if now is not None:
            yield RemoveSite("the app has no routes", target.site_path)
        return
    site = target.site
    if now is None:
        why = "absent"
    elif not isinstance(now, FileSeen) or now.sha256 != site.sha256:
        why = "it is not what its routes ask for"
    elif now.mode != site.mode:
        why = "the proxy may not have read it"
    elif seen.is_proxy_down:
        yield StartProxy(f"nothing answers: it is {seen.proxy}")
        return
    else:
        return
    yield WriteSite(why, target.site_path, site.data)
