"""What a driver is given and what it gives back: plain values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from steersman.api.process import ProcessTemplate
from steersman.api.routes import Route
from steersman.planning.target import File, Folder, ProcessTarget

Way = Literal["none", "socket", "path", "port"]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a host keeps what steersman writes; absolute paths, "" for what it has not."""

    root: str
    run: str
    units: str
    sites: str
    tmpfiles: str

    def app(self, app: str, *parts: str) -> str:
        return "/".join((self.root, "apps", app, *parts))


@dataclass(frozen=True, slots=True)
class Facts:
    """What a driver must know of a host: see the hand's `hello`."""

    proxy_group: str = ""
    systemd: int = 0
    socket_proxyd: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessUnits:
    """One process to render. `instances` are 1, 2, … or, behind relays, the ports they take."""

    name: str
    template: ProcessTemplate
    way: Way
    instances: tuple[int, ...]
    env_files: tuple[str, ...]

    @property
    def is_relayed(self) -> bool:
        return self.way == "port"


@dataclass(frozen=True, slots=True)
class Generation:
    """The processes of one release of an app on one host."""

    app: str
    number: int
    release: str
    user: str
    revision: str
    host_header: str
    processes: tuple[ProcessUnits, ...]

    def unit(self, process: str) -> str:
        """The stem of the names of a process's units."""
        return f"steersman-{self.app}.{process}.g{self.number}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A generation in a supervisor's words."""

    unit_files: tuple[File, ...]
    boot_files: tuple[File, ...]
    boot_links: Mapping[str, str] = field(hash=False)
    folders: tuple[Folder, ...]
    processes: tuple[ProcessTarget, ...]


class Supervisor(Protocol):
    """What keeps processes alive on a host; rendering is pure, the hand does the rest."""

    def render(self, generation: Generation) -> Rendered: ...

    def boot_paths(self, app: str) -> tuple[str, ...]:
        """The files that make an app start with the host."""
        ...


class Proxy(Protocol):
    """What brings requests to the apps of a host."""

    def site_path(self, app: str) -> str: ...

    def access_log(self, app: str) -> str:
        """Return the host's log of the app's answers, by which releases are compared."""

    def render(self, app: str, routes: tuple[Route, ...]) -> File: ...
