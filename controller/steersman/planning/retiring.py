"""What a host should no longer hold: older generations behind a hand-over, and apps that went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from steersman.planning.jobs import plan_jobs_gone
from steersman.planning.seen import HostSeen, parse_unit
from steersman.planning.steps import (
    Drain,
    ReloadUnits,
    RemoveApp,
    RemoveFile,
    RemoveSite,
    RemoveUser,
    Step,
    StopUnits,
)
from steersman.planning.target import AppTarget

STOP_LIMIT = 3600.0
HELD = (".socket", "-hold.service")


def plan_retire(target: AppTarget, seen: HostSeen) -> Iterator[Step]:
    """Yield the steps that end and remove what the target does not want any more."""
    why = f"release {target.number} does not want it"
    surplus = sorted(set(seen.units_of(target.name)) - target.units)
    sockets = _old_sockets(target, seen)
    yield from stopping(surplus, sockets, max_stop(target), why, seen)
    wanted = {file.path for file in (*target.unit_files, *target.boot_files)}
    yield from _remove_files(target.name, target.units_dir, wanted, seen, why)


def _old_sockets(target: AppTarget, seen: HostSeen) -> tuple[str, ...]:
    """Private sockets of generations that are not the target's and may still have clients."""
    older = [
        unit
        for unit in seen.units_of(target.name)
        if (name := parse_unit(unit)) is not None and name.number != target.number
    ]
    return tuple(sorted(served_sockets(target.name, target.run, older, seen)))


def served_sockets(app: str, run: str, units: Iterable[str], seen: HostSeen) -> set[str]:
    """Return the private sockets of those generations that clients may have come to.

    Links only ever move to newer generations, or back from one that failed: a newer one than
    its link's has had no client but the gate, whose probes a hung server leaves in its queue.
    """
    paths: set[str] = set()
    for unit in units:
        name = parse_unit(unit)
        link = seen.app(app).links.get(f"{name.process}.sock") if name is not None else None
        if name is not None and link is not None and name.number <= linked_number(link):
            paths.update(private_sockets(run, unit))
    return paths


def linked_number(link: str) -> int:
    """Return the generation in a link such as `web-g8.sock` or `inst/web-g8.sock`, or 0."""
    digits = link.rpartition("-g")[2].partition(".")[0]
    return int(digits) if digits.isdigit() else 0


def private_sockets(run: str, unit: str) -> tuple[str, ...]:
    """Return where the generation of `unit` may listen: a held socket or one it binds itself."""
    name = parse_unit(unit)
    if name is None:
        return ()
    folder, base = f"{run}/{name.app}", f"{name.process}-g{name.number}.sock"
    return (f"{folder}/{base}", f"{folder}/inst/{base}")


def max_stop(target: AppTarget) -> float:
    """Return how long connections may take to end; a worker's hour is not theirs."""
    reached = [process for process in target.processes if process.socket is not None]
    return max([process.stop_timeout for process in reached] or [30.0])


def stopping(
    units: list[str], sockets: tuple[str, ...], deadline: float, why: str, seen: HostSeen
) -> Iterator[Step]:
    """Yield the steps that stop what runs of `units`, once their clients' `sockets` are empty."""
    running = [unit for unit in units if seen.units[unit][0] != "inactive"]
    if not running:
        return
    if sockets:
        yield Drain("nothing accepted may be lost", sockets, deadline)
    # Services first: a socket closed before its servers would reset what still queues on it.
    services = tuple(unit for unit in running if not unit.endswith(HELD))
    held = tuple(unit for unit in running if unit.endswith(HELD))
    if services:
        yield StopUnits(why, services, STOP_LIMIT)
    if held:
        yield StopUnits(why, held, STOP_LIMIT)


def _remove_files(
    app: str, units_dir: str, wanted: set[str], seen: HostSeen, why: str
) -> Iterator[Step]:
    prefix = f"{units_dir}/steersman-{app}."
    stale = [path for path in seen.files if path.startswith(prefix) and path not in wanted]
    for path in stale:
        yield RemoveFile(why, path)
    if stale:
        yield ReloadUnits("unit files went away")


@dataclass(frozen=True, slots=True)
class AppGone:
    """An app that a host should hold no trace of; `boot` are the paths that start it."""

    name: str
    user: str
    run: str
    units_dir: str
    site_path: str
    boot: tuple[str, ...]


def plan_absent(gone: AppGone, seen: HostSeen) -> tuple[Step, ...]:
    """Return the steps that remove every trace of an app: first its traffic, last its user."""
    why = "the app is not wanted here"
    steps: list[Step] = []
    if gone.site_path in seen.files:
        steps.append(RemoveSite(why, gone.site_path))
    steps += plan_jobs_gone(gone.name, (), seen)
    steps += [RemoveFile(why, path) for path in gone.boot if path in seen.files]
    units = [unit for unit in seen.units if unit.startswith(f"steersman-{gone.name}.")]
    sockets = served_sockets(gone.name, gone.run, units, seen)
    steps += stopping(sorted(units), tuple(sorted(sockets)), 30.0, why, seen)
    steps += _remove_files(gone.name, gone.units_dir, set(gone.boot), seen, why)
    if gone.name in seen.apps:
        steps.append(RemoveApp(why, gone.name))
    if gone.user in seen.users:
        steps.append(RemoveUser(why, gone.user))
    return tuple(steps)
