"""What a reboot starts: files that change one by one, and a host that may go down between two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from steersman.planning.files import plan_file
from steersman.planning.seen import HostSeen, parse_unit
from steersman.planning.steps import Commit, Step
from steersman.planning.target import AppTarget, File


def plan_booting(target: AppTarget, seen: HostSeen) -> Iterator[Step]:
    """Yield the steps that make a reboot start the target's release.

    One file says which units start and another which of them traffic goes to. Between the two
    writes the first names the units of both releases, so that a boot serves one of them.
    """
    writes = {f: step for f in target.boot_files for step in plan_file(f, seen.files.get(f.path))}
    if len(writes) > 1:
        first = next(iter(writes))
        bridge = _bridge(first, _serving_now(target, seen))
        if bridge is not None:
            yield from plan_file(bridge, seen.files.get(bridge.path))
            # Taken out and put back, it comes last.
            writes[first] = replace(writes.pop(first), why="no boot needs both releases now")
    yield from writes.values()
    for path, link in target.boot_links.items():
        if seen.files.get(path) != f"-> {link}":
            yield Commit("a reboot must start the app", path, link)


def _bridge(file: File, units: list[str]) -> File | None:
    """Return a systemd target, which has one section, with other units as well."""
    if not units or not file.path.endswith(".target"):
        return None
    return replace(file, data=file.data + "".join(f"Wants={unit}\n" for unit in units).encode())


def _serving_now(target: AppTarget, seen: HostSeen) -> list[str]:
    """Return the units of other releases that traffic can be sent to."""
    links = seen.app(target.name).links
    running = filter(seen.is_running, sorted(seen.units_of(target.name)))
    named = [(unit, name) for unit in running if (name := parse_unit(unit)) is not None]
    return [
        unit
        for unit, name in named
        if name.number != target.number and f"{name.process}.sock" in links
    ]
