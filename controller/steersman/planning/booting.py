"""What a reboot starts: files that change one by one, and a host that may go down between two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from steersman.planning.files import plan_file
from steersman.planning.seen import HostSeen, parse_unit
from steersman.planning.steps import Commit, Step, WriteFile
from steersman.planning.target import AppTarget, File


def plan_booting(target: AppTarget, seen: HostSeen) -> Iterator[Step]:
    """Yield the steps that make a reboot start the target's release.

    One file says which units start and another which of them traffic goes to. Between the two
    writes the first names the units of both releases, so that a boot serves one of them.
    """
    files = [f for f in target.boot_files if [*plan_file(f, seen.files.get(f.path))]]
    if len(files) > 1 and (bridge := _bridge(files[0], _serving_now(target, seen))):
        yield from plan_file(bridge, seen.files.get(bridge.path))
        last, *files = files
        yield from (step for f in files for step in plan_file(f, seen.files.get(f.path)))
        yield WriteFile(
            "no boot needs both releases now", last.path, last.mode, last.owner, last.data
        )
    else:
        yield from (step for f in files for step in plan_file(f, seen.files.get(f.path)))
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
    links, found = seen.app(target.name).links, []
    for unit in sorted(seen.units_of(target.name)):
        name = parse_unit(unit)
        if name is not None and name.number != target.number and f"{name.process}.sock" in links:
            found += [unit] if seen.is_running(unit) else []
    return found
