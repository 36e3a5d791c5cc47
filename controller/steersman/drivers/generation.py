"""What a generation is on a host, whoever supervises it: its folders, and each process's target."""

from __future__ import annotations

from steersman.drivers.model import Facts, Generation, Layout, ProcessUnits
from steersman.planning.target import Folder, ProcessTarget

HELD_WAYS = ("socket", "port")


def folders_of(
    layout: Layout, facts: Facts, generation: Generation, *more: Folder
) -> tuple[Folder, ...]:
    """Return the folders that outlive a release, with `more` of a supervisor's own."""
    app, user = generation.app, generation.user
    folders = [
        Folder(layout.app(app, "shared"), 0o750, f"{user}:{user}"),
        Folder(layout.app(app, "env"), 0o700, "root:root"),
        *more,
    ]
    if any(process.way == "path" for process in generation.processes):
        # setgid: what the app binds here belongs to the proxy's group, so the proxy may connect.
        group = facts.proxy_group or user
        folders.append(Folder(f"{layout.run}/{app}/inst", 0o2770, f"{user}:{group}"))
    return tuple(folders)


def target_of(
    layout: Layout, generation: Generation, process: ProcessUnits, holders: tuple[str, ...]
) -> ProcessTarget:
    """Return what planning knows of a process; `holders` hold its socket, if it shares one."""
    stem, template = generation.unit(process.name), process.template
    base = f"{process.name}-g{generation.number}.sock"
    behind = {"socket": base, "port": base, "path": f"inst/{base}"}.get(process.way)
    run = f"{layout.run}/{generation.app}"
    relays = process.instances if process.is_relayed else ()
    health = template.health
    return ProcessTarget(
        name=process.name,
        instances=tuple(f"{stem}@{i}.service" for i in process.instances),
        holders=holders if process.way in HELD_WAYS else (),
        relays=tuple(f"{stem}-relay@{i}.service" for i in relays),
        socket=f"{run}/{behind}" if behind else None,
        link=f"{run}/{process.name}.sock" if behind else None,
        link_target=behind,
        http=health.http if health is not None else None,
        host=generation.host_header,
        probe_timeout=health.timeout if health is not None else 1.0,
        failures=health.failures if health is not None else 3,
        stop_timeout=template.stop.timeout,
        stop_first=template.handover == "stop",
    )
