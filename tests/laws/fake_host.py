"""A host in memory that obeys the steps, and objects to any that would hurt a request."""

from __future__ import annotations

from dataclasses import dataclass, field

from steersman.planning import steps as s
from steersman.planning.seen import AppSeen, FileSeen, HostSeen, parse_unit

RUN, UNITS = "/run/steersman", "/etc/systemd/system"


class Hurt(AssertionError):
    """A step that no careful hand would make in this state."""


@dataclass
class FakeHost:
    """Judged by what it holds; `gated` are the generations that proved healthy since started."""

    users: dict[str, str] = field(default_factory=dict)
    files: dict[str, FileSeen | str] = field(default_factory=dict)
    dirs: set[str] = field(default_factory=set)
    builds: set[str] = field(default_factory=set)
    releases: dict[str, str] = field(default_factory=dict)
    envs: dict[str, FileSeen] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    current: str | None = None
    active: set[str] = field(default_factory=set)
    loaded: dict[str, FileSeen | str] = field(default_factory=dict)
    gated: set[int] = field(default_factory=set)
    sick: set[int] = field(default_factory=set)
    blobs: set[str] = field(default_factory=set)
    may_go_down: bool = False
    proxy: str = "active"
    app: str = "shop"
    """The one app that it may hold."""

    def seen(self) -> HostSeen:
        app = AppSeen(
            builds=frozenset(self.builds),
            releases=dict(self.releases),
            current=self.current,
            dirs=frozenset(self.dirs),
            envs=dict(self.envs),
            links=dict(self.links),
        )
        is_there = bool(self.dirs or self.releases or self.links)
        units = dict.fromkeys(self.loaded, ("inactive", "dead"))
        units |= dict.fromkeys(self.active, ("active", "running"))
        return HostSeen(
            epoch=1,
            users=dict(self.users),
            apps={self.app: app} if is_there else {},
            files=dict(self.files),
            units=units,
            foreign_names={"taken.example.com": "/etc/nginx/sites-enabled/blog"},
            ports=frozenset(),
            proxy=self.proxy,
        )

    def make(self, step: s.Step) -> None:
        getattr(self, f"_{type(step).__name__}")(step)

    def serving(self) -> set[int]:
        """The generations that the proxy's links lead to."""
        names = [target.rpartition("-g")[2] for target in self.links.values() if "-g" in target]
        return {int(name.partition(".")[0]) for name in names}

    def _EnsureUser(self, step: s.EnsureUser) -> None:
        self.users[step.name] = step.home

    def _RemoveUser(self, step: s.RemoveUser) -> None:
        if self.active:
            raise Hurt(f"user {step.name} removed while {self.active} run")
        del self.users[step.name]

    def _EnsureDir(self, step: s.EnsureDir) -> None:
        self.dirs.add(step.path.rpartition("/")[2])

    def _Upload(self, step: s.Upload) -> None:
        self.blobs |= set(step.blobs)

    def _MakeBuild(self, step: s.MakeBuild) -> None:
        if step.manifest not in self.blobs:
            raise Hurt("a build made of blobs that were never sent")
        self.builds.add(step.digest)

    def _MakeRelease(self, step: s.MakeRelease) -> None:
        if step.build not in self.builds:
            raise Hurt("a release of a build that is not there")
        self.releases[step.name] = step.build

    def _WriteFile(self, step: s.WriteFile) -> None:
        import hashlib

        made = FileSeen(hashlib.sha256(step.data).hexdigest(), step.mode, step.owner)
        if "/env/" in step.path:
            self.envs[step.path.rpartition("/")[2]] = made
        else:
            self.files[step.path] = made

    def _RemoveFile(self, step: s.RemoveFile) -> None:
        del self.files[step.path]

    def _ReloadUnits(self, step: s.ReloadUnits) -> None:
        for unit in list(self.loaded):
            if self.file_of(unit) is None:
                del self.loaded[unit]
            else:
                self._read(unit)

    def file_of(self, unit: str) -> FileSeen | str | None:
        template = unit.partition("@")[0] + "@.service" if "@" in unit else unit
        return self.files.get(f"{UNITS}/{template}")

    def _read(self, unit: str) -> None:
        found = self.file_of(unit)
        if found is None:
            raise Hurt(f"{unit} has no file")
        self.loaded[unit] = found

    def _StartUnits(self, step: s.StartUnits) -> None:
        for unit in step.units:
            # As systemd does: what is not in its memory is read now, the rest by a reload only.
            if unit not in self.loaded:
                self._read(unit)
            if self.loaded[unit] != self.file_of(unit):
                raise Hurt(f"{unit} started before its file was read")
            name = parse_unit(unit)
            if name is not None and not any(f"-g{name.number}." in u for u in self.active):
                self.gated.discard(name.number)
        self.active |= set(step.units)

    def _PassGate(self, step: s.PassGate) -> None:
        numbers = {n.number for p in step.processes for u in p["units"] if (n := parse_unit(u))}
        for process in step.processes:
            if not set(process["units"]) <= self.active:
                raise Hurt(f"gate over units that do not run: {process['units']}")
        self.gated |= numbers

    def _Switch(self, step: s.Switch) -> None:
        name = step.path.rpartition("/")[2]
        if "-g" in step.target:
            number = int(step.target.rpartition("-g")[2].partition(".")[0])
            if number not in self.gated or number in self.sick:
                raise Hurt(f"traffic for generation {number}, which passed no gate")
        self.links[name] = step.target

    def _Soak(self, step: s.Soak) -> None:
        self._PassGate(s.PassGate(step.why, step.processes, 1, 1, 1))

    def _Commit(self, step: s.Commit) -> None:
        if step.path.endswith("/current"):
            self.current = step.target
        else:
            self.files[step.path] = f"-> {step.target}"

    def _WriteSite(self, step: s.WriteSite) -> None:
        if not self.serving() and self.links:
            raise Hurt("a site before its sockets")
        import hashlib

        self.files[step.path] = FileSeen(hashlib.sha256(step.data).hexdigest(), 0o644, "root:root")
        self.proxy = "active"

    def _StartProxy(self, step: s.StartProxy) -> None:
        if self.proxy == "active":
            raise Hurt("a proxy that runs is started")
        self.proxy = "active"

    def _RemoveSite(self, step: s.RemoveSite) -> None:
        del self.files[step.path]

    def _Drain(self, step: s.Drain) -> None:
        behind = {f"{RUN}/{self.app}/{target}" for target in self.links.values()}
        sites = [path for path in self.files if path.endswith(f"conf.d/steersman-{self.app}.conf")]
        if sites and behind & set(step.sockets):
            raise Hurt(f"draining {behind & set(step.sockets)}, which still gets traffic")

    def _StopUnits(self, step: s.StopUnits) -> None:
        site = any(path.endswith(f"conf.d/steersman-{self.app}.conf") for path in self.files)
        for unit in step.units:
            name = parse_unit(unit)
            if site and name and name.process == "web" and name.number in self.serving():
                others = {u for u in self.active - set(step.units) if f"web.g{name.number}@" in u}
                if not others and not self.may_go_down:
                    raise Hurt(f"{unit} stopped while traffic goes there")
        self.active -= set(step.units)

    def _Collect(self, step: s.Collect) -> None:
        for name in step.releases:
            if self.current == f"releases/{name}":
                raise Hurt(f"the current release {name} collected")
            del self.releases[name]
        self.builds -= set(step.builds_)
        if not set(self.releases.values()) <= self.builds:
            raise Hurt("a build collected that a release needs")
        for name in step.envs:
            del self.envs[name]

    def _RemoveApp(self, step: s.RemoveApp) -> None:
        if self.active:
            raise Hurt(f"files removed while {self.active} run")
        self.dirs, self.releases, self.builds = set(), {}, set()
        self.envs, self.links, self.current = {}, {}, None
