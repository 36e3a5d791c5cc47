"""The steps a plan is made of: each names what the hand does, its arguments and why."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

Phase = Literal["prepare", "start", "gate", "switch", "soak", "commit", "retire"]


@dataclass(frozen=True, slots=True)
class Step:
    """One change. `op` is the hand's operation; every field but `why` is its argument."""

    op: ClassVar[str]
    phase: ClassVar[Phase] = "prepare"
    why: str

    @property
    def args(self) -> dict[str, Any]:
        """The arguments as they go over the wire."""
        return {f.name: _wire(getattr(self, f.name)) for f in fields(self) if f.name != "why"}

    @property
    def text(self) -> str:
        """What the step does, for a person; never holds a value of the environment."""
        return self.op.replace("_", " ")


def _wire(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True)
class EnsureUser(Step):
    op = "ensure_user"
    name: str
    home: str

    @property
    def text(self) -> str:
        return f"create user {self.name}"


@dataclass(frozen=True, slots=True)
class EnsureDir(Step):
    op = "ensure_dir"
    path: str
    mode: int
    owner: str

    @property
    def text(self) -> str:
        return f"create folder {self.path}"


@dataclass(frozen=True, slots=True)
class Upload(Step):
    """Send the blobs that the host lacks; the controller asks the host which those are.

    `manifest` is the one of the blobs that lists the build; `garbage` is what may go first if the
    host has no room for it.
    """

    op = "upload"
    what: str
    blobs: tuple[str, ...]
    manifest: str
    garbage: Collect

    @property
    def text(self) -> str:
        return f"upload {self.what} (what is missing of {len(self.blobs)} blobs)"


@dataclass(frozen=True, slots=True)
class MakeBuild(Step):
    op = "make_build"
    app: str
    digest: str
    manifest: str
    python: str

    @property
    def text(self) -> str:
        return f"unpack build {self.digest[:12]} and make its venv"


@dataclass(frozen=True, slots=True)
class MakeRelease(Step):
    op = "make_release"
    app: str
    name: str
    build: str
    record: dict[str, Any] = field(hash=False)

    @property
    def text(self) -> str:
        return f"make release {self.name}"


@dataclass(frozen=True, slots=True)
class WriteFile(Step):
    op = "write_file"
    path: str
    mode: int
    owner: str
    data: bytes = field(repr=False)

    @property
    def text(self) -> str:
        return f"write {self.path}"


@dataclass(frozen=True, slots=True)
class RemoveFile(Step):
    op = "remove_file"
    path: str

    @property
    def text(self) -> str:
        return f"remove {self.path}"


@dataclass(frozen=True, slots=True)
class ReloadUnits(Step):
    op = "reload_units"

    @property
    def text(self) -> str:
        return "let the supervisor read its unit files"


@dataclass(frozen=True, slots=True)
class StartUnits(Step):
    op = "start_units"
    phase = "start"
    units: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"start {', '.join(self.units)}"


@dataclass(frozen=True, slots=True)
class PassGate(Step):
    """Wait until each process is healthy on its private socket, or fail."""

    op = "pass_gate"
    phase = "gate"
    processes: tuple[dict[str, Any], ...] = field(hash=False)
    deadline: float
    settle: float
    patience: float

    @property
    def text(self) -> str:
        names = ", ".join(str(process["process"]) for process in self.processes)
        return f"wait until {names} is healthy on its private socket"


@dataclass(frozen=True, slots=True)
class Switch(Step):
    """Move traffic: the one atomic step of a hand-over."""

    op = "write_link"
    phase = "switch"
    path: str
    target: str

    @property
    def text(self) -> str:
        return f"switch {self.path} to {self.target}"


@dataclass(frozen=True, slots=True)
class WriteSite(Step):
    op = "write_site"
    phase = "switch"
    path: str
    data: bytes

    @property
    def text(self) -> str:
        return f"test and install site {self.path}"


@dataclass(frozen=True, slots=True)
class StartProxy(Step):
    """Have the host's own proxy run again."""

    op = "start_proxy"
    phase = "switch"

    @property
    def text(self) -> str:
        return "start nginx"


@dataclass(frozen=True, slots=True)
class RemoveSite(Step):
    op = "remove_site"
    phase = "switch"
    path: str

    @property
    def text(self) -> str:
        return f"remove site {self.path}"


@dataclass(frozen=True, slots=True)
class Soak(Step):
    op = "soak"
    phase = "soak"
    processes: tuple[dict[str, Any], ...] = field(hash=False)
    seconds: float
    failures: int

    @property
    def text(self) -> str:
        return f"watch it serve for {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Commit(Step):
    """Make the release what a reboot returns to."""

    op = "write_link"
    phase = "commit"
    path: str
    target: str

    @property
    def text(self) -> str:
        return f"point {self.path} at {self.target}"


@dataclass(frozen=True, slots=True)
class Drain(Step):
    op = "drain"
    phase = "retire"
    sockets: tuple[str, ...]
    deadline: float

    @property
    def text(self) -> str:
        return f"let {', '.join(self.sockets)} finish what it accepted"


@dataclass(frozen=True, slots=True)
class StopUnits(Step):
    op = "stop_units"
    phase = "retire"
    units: tuple[str, ...]
    within: float

    @property
    def text(self) -> str:
        return f"stop {', '.join(self.units)}"


@dataclass(frozen=True, slots=True)
class Collect(Step):
    op = "collect"
    phase = "retire"
    app: str
    releases: tuple[str, ...]
    builds_: tuple[str, ...]
    envs: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"remove old releases {', '.join(self.releases) or '(only their leftovers)'}"


@dataclass(frozen=True, slots=True)
class RemoveApp(Step):
    op = "remove_app"
    phase = "retire"
    app: str

    @property
    def text(self) -> str:
        return f"remove every file of {self.app}"


@dataclass(frozen=True, slots=True)
class RemoveUser(Step):
    op = "remove_user"
    phase = "retire"
    name: str

    @property
    def text(self) -> str:
        return f"remove user {self.name}"
