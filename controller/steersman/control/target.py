"""From an app's release and a host's facts to what that host should look like."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import HostSpec
from steersman.api.release import Release
from steersman.api.routes import Route
from steersman.control.release import counts_of
from steersman.control.statsd import once_envs, statsd_env
from steersman.drivers.hosts import layout_of, proxy_of, supervisor_of
from steersman.drivers.model import Facts, Generation, Layout, ProcessUnits
from steersman.drivers.servers import refuse_many, way_of
from steersman.drivers.unitfile import env_file
from steersman.planning.retiring import AppGone
from steersman.planning.seen import HostSeen, parse_unit
from steersman.planning.target import AppTarget, BuildTarget, File

PORTS = (20000, 30000)
_TOLD: Any = {"metadata": {"name", "labels", "annotations"}, "spec": True}


class NoProxy(SteersmanError):
    """An app with routes is placed on a host that has no proxy."""


class NoPort(SteersmanError):
    """Every port for apps that only take $PORT is in use."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One app at one release, ready to be put on any host of its build's platform.

    `secrets` are the values themselves: they leave this process only inside env files, over the
    link. `keep` are the names of the releases whose files stay, `share` how many instances a host
    runs of each process that is spread.
    """

    app: App
    release: Release
    build: BuildTarget
    secrets: Mapping[str, str] = field(repr=False)
    keep: frozenset[str]
    is_newest: bool = False
    """Whether no release of ours has a higher number, so that no host may know one."""
    share: Mapping[str, int] = field(default_factory=dict)

    @property
    def release_name(self) -> str:
        return release_folder(self.release)


def release_folder(release: Release) -> str:
    """Return the name of a release's folder on hosts: `<number>-<digest>`."""
    return f"{release.spec.number}-{release.spec.digest[:12]}"


def app_target(wanted: Wanted, spec: HostSpec, facts: Facts, seen: HostSeen) -> AppTarget:
    """Render `wanted` for one host; `seen` is asked only for the ports it already uses."""
    layout, app = layout_of(spec), wanted.app
    number, name = wanted.release.spec.number, app.name
    template = wanted.release.spec.template
    env_files = _env_files(wanted, layout, "root:root" if spec.scope == "system" else "")
    paths = tuple(file.path for file in env_files)
    counts = counts_of(app, template.processes, wanted.share)
    elsewhere = {process for process in wanted.share if not counts.get(process)}
    routes = _routes_here(app.spec.routes, elsewhere)
    taken = set(seen.ports)
    processes = []
    for process, each in sorted(template.processes.items()):
        if process in elsewhere:
            continue
        way = way_of(process, each)
        refuse_many(process, way, counts[process])
        instances: tuple[int, ...] = tuple(range(1, counts[process] + 1))
        if way == "port":
            instances = pick_ports(name, process, number, counts[process], seen, taken)
        own = tuple(
            p for p in paths if "." not in p.rpartition("/")[2] or p.endswith(f".{process}")
        )
        processes.append(ProcessUnits(process, each, way, instances, own))
    user = app.user if spec.scope == "system" else ""
    generation = Generation(
        app=name,
        number=number,
        release=wanted.release_name,
        user=user,
        revision=wanted.release.spec.commit or wanted.release.spec.content,
        host_header=routes[0].host.lstrip("*.") if routes else "localhost",
        processes=tuple(processes),
    )
    rendered = supervisor_of(spec, facts).render(generation)
    site = _site(name, routes, spec)
    return AppTarget(
        name=name,
        root=layout.root,
        run=layout.run,
        # A user that the manifest names is somebody else's to make and to remove.
        user=user if app.spec.user is None else "",
        home=layout.app(name, "shared"),
        number=number,
        release=wanted.release_name,
        record=_record(wanted),
        build=wanted.build,
        folders=rendered.folders,
        env_files=env_files,
        unit_files=rendered.unit_files,
        boot_files=rendered.boot_files,
        boot_links=rendered.boot_links,
        site=site,
        server_names=tuple(sorted({route.host for route in routes})),
        processes=rendered.processes,
        keep=wanted.keep,
        units_dir=layout.units,
        site_path=_site_path(name, spec),
        settle=1.0 if all(p.way != "none" for p in processes) else 2.0,
        deadline=float(app.spec.rollout.progress_deadline_seconds),
        patience=_patience(wanted.release),
        min_ready=float(app.spec.rollout.min_ready_seconds),
    )


def app_gone(app: App, spec: HostSpec, facts: Facts) -> AppGone:
    """Return what to remove so that `app` leaves no trace on a host."""
    layout = layout_of(spec)
    return AppGone(
        name=app.name,
        user=app.user,
        run=layout.run,
        units_dir=layout.units,
        site_path=_site_path(app.name, spec),
        boot=supervisor_of(spec, facts).boot_paths(app.name),
    )


def _record(wanted: Wanted) -> dict[str, object]:
    """Return what release.json says on the host: enough to know it by, and nothing secret.

    `memory` is what it takes to adopt the app when the controller's own memory is lost.
    """
    spec = wanted.release.spec
    return {
        "app": spec.app,
        "number": spec.number,
        "digest": spec.digest,
        "commit": spec.commit,
        "ref": spec.ref,
        "content": spec.content,
        "memory": {
            "app": wanted.app.model_dump(
                mode="json", by_alias=True, exclude_none=True, include=_TOLD
            ),
            "release": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        },
    }


def env_digest(release: Release, secrets: Mapping[str, str]) -> str:
    """Return the sha256 of the variables that all processes of a release share on a host."""
    shared = {**release.spec.template.config.env, **secrets}
    return hashlib.sha256(env_file(sorted(shared.items()))).hexdigest()


def _patience(release: Release) -> float:
    checks = [p.health for p in release.spec.template.processes.values() if p.health is not None]
    return min([check.interval * check.failures for check in checks] or [30.0])


def _env_files(wanted: Wanted, layout: Layout, owner: str) -> tuple[File, ...]:
    """Return env/<N>, and env/<N>.<process> for each process with variables of its own.

    What runs once and is of no process has env/<N>.@once.
    """
    template, number = wanted.release.spec.template, wanted.release.spec.number
    folder = layout.app(wanted.app.name, "env")
    shared = {**template.config.env, **wanted.secrets}
    files = [File(f"{folder}/{number}", env_file(sorted(shared.items())), 0o600, owner)]
    for name, process in sorted(template.processes.items()):
        env = {**statsd_env(wanted.release.spec, name, shared), **process.env}
        if env:
            data = env_file(sorted(env.items()))
            files.append(File(f"{folder}/{number}.{name}", data, 0o600, owner))
    for name, env in once_envs(wanted.release.spec, shared).items():
        files.append(File(f"{folder}/{name}", env_file(sorted(env.items())), 0o600, owner))
    return tuple(files)


def _site_path(app: str, spec: HostSpec) -> str:
    proxy = proxy_of(spec)
    return "" if proxy is None else proxy.site_path(app)


def _routes_here(routes: tuple[Route, ...], elsewhere: Collection[str]) -> tuple[Route, ...]:
    """Return the routes of a host that runs no process of `elsewhere`.

    Static files alone are half a site: they go with the last process that was routed.
    """
    here = tuple(route for route in routes if route.process not in elsewhere)
    is_lost = len(here) < len(routes) and not any(route.process is not None for route in here)
    return () if is_lost else here


def _site(app: str, routes: tuple[Route, ...], spec: HostSpec) -> File | None:
    if not routes:
        return None
    proxy = proxy_of(spec)
    if proxy is None:
        raise NoProxy(
            f"app {app} has routes, and a host it is placed on has `proxy: none`;"
            " give that host a proxy, or place the app elsewhere"
        )
    return proxy.render(app, routes)


def pick_ports(
    app: str, process: str, number: int, count: int, seen: HostSeen, taken: set[int]
) -> tuple[int, ...]:
    """Return `count` ports for a generation: those it has, then free ones; adds them to `taken`.

    A digest of the names says where to begin, so that an equal question has an equal answer.
    """
    ports = _ports_of(app, process, number, seen)[:count]
    start = int.from_bytes(hashlib.sha256(f"{app}/{process}/{number}".encode()).digest()[:4], "big")
    low, high = PORTS
    for step in range(high - low):
        if len(ports) >= count:
            break
        port = low + (start + step) % (high - low)
        if port not in taken and port not in ports:
            ports.append(port)
    if len(ports) < count:
        raise NoPort(f"app {app}: the ports {low} to {high} of the host are all in use; stop some")
    taken.update(ports)
    return tuple(sorted(ports))


def _ports_of(app: str, process: str, number: int, seen: HostSeen) -> list[int]:
    names = [parse_unit(unit) for unit in seen.units_of(app)]
    return sorted(
        int(name.instance)
        for name in names
        if name is not None
        and (name.process, name.number, name.part) == (process, number, None)
        and name.instance is not None
    )
