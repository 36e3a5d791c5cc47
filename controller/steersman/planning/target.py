"""What one host should look like for one app, with every file already rendered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class File:
    """A file a host should hold; `owner` is `user:group`."""

    path: str
    data: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = "root:root"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Folder:
    path: str
    mode: int
    owner: str


@dataclass(frozen=True, slots=True)
class BuildTarget:
    """A build a host should hold: blobs by SHA-256, named by the blob of its manifest."""

    digest: str
    manifest: str
    python: str
    blobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProcessTarget:
    """One process of one generation.

    `link` is the path the proxy connects to and `socket` the private one behind it; both are
    None for a process without a port. `relays` and `holders` are units that stand between.
    """

    name: str
    instances: tuple[str, ...]
    holders: tuple[str, ...] = ()
    relays: tuple[str, ...] = ()
    socket: str | None = None
    link: str | None = None
    link_target: str | None = None
    http: str | None = None
    host: str = "localhost"
    probe_timeout: float = 1.0
    failures: int = 3
    stop_timeout: float = 30.0
    stop_first: bool = False

    @property
    def units(self) -> tuple[str, ...]:
        return (*self.holders, *self.instances, *self.relays)

    @property
    def watch(self) -> dict[str, Any]:
        """What the hand needs to judge this process."""
        check = None
        if self.socket is not None:
            check = {
                "socket": self.socket,
                "http": self.http,
                "host": self.host,
                "timeout": self.probe_timeout,
            }
        # Instances share the socket: ask often enough that each has likely answered.
        good = 3 * max(1, len(self.instances)) if check is not None else 1
        units = [*self.instances, *self.relays]
        return {"process": self.name, "units": units, "check": check, "good": good}


@dataclass(frozen=True, slots=True)
class AppTarget:
    """One app on one host, at one release."""

    name: str
    root: str
    run: str
    user: str
    home: str
    number: int
    release: str
    record: Mapping[str, Any] = field(hash=False)
    build: BuildTarget
    folders: tuple[Folder, ...]
    env_files: tuple[File, ...]
    unit_files: tuple[File, ...]
    boot_files: tuple[File, ...]
    boot_links: Mapping[str, str] = field(hash=False)
    site: File | None
    server_names: tuple[str, ...]
    processes: tuple[ProcessTarget, ...]
    keep: frozenset[str]
    units_dir: str
    site_path: str
    settle: float = 1.0
    deadline: float = 600.0
    patience: float = 30.0
    min_ready: float = 0.0

    @property
    def units(self) -> frozenset[str]:
        return frozenset(unit for process in self.processes for unit in process.units)

    @property
    def current(self) -> str:
        return f"{self.root}/apps/{self.name}/current"

    @property
    def serving(self) -> str:
        """The link that static files are served through; it moves with the traffic."""
        return f"{self.run}/{self.name}/serving"
