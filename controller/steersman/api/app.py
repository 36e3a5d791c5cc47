"""App: what runs, from which source, how it is built, routed, placed and rolled out."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from steersman.api.meta import AppMeta, Conditions, Object
from steersman.api.model import Count, Flag, Model, Number
from steersman.api.names import (
    EnvName,
    Name,
    ProcessName,
    User,
    app_user,
    check_name,
)
from steersman.api.placement import Placement
from steersman.api.process import Process
from steersman.api.quantities import Timeout
from steersman.api.refusal import Refused, quoted, refuse_all
from steersman.api.rollout import Rollout
from steersman.api.routes import Route
from steersman.api.source import Source
from steersman.api.text import Command, EnvValue, has_control

_PYTHON = re.compile(r"3\.\d{1,2}(\.\d{1,3})?")


def check_python(version: str) -> str:
    """Return `version` when it is a Python such as 3.11 or 3.11.9."""
    if not _PYTHON.fullmatch(version):
        raise Refused(quoted(version), 'a Python version in quotes, such as "3.11"')
    return version


def check_index(index: str) -> str:
    """Return `index` when it is an http(s) URL of a package index, or the name of one."""
    if index.startswith(("https://", "http://")) and not has_control(index) and " " not in index:
        return index
    if ":" in index or "/" in index:
        raise Refused(quoted(index), "an https:// URL of a package index, or the name of one")
    return check_name(index)


class Build(Model):
    """How the source becomes an artifact, where what the source shows is not enough."""

    python: Annotated[str, AfterValidator(check_python), Field(examples=["3.11"])] | None = None
    steps: tuple[Command, ...] = ()
    index: Annotated[str, AfterValidator(check_index)] | None = None


class Config(Model):
    """Variables for every process; each key of each Secret is one more."""

    env: Mapping[EnvName, EnvValue] = Field(default_factory=dict)
    secrets: tuple[Name, ...] = ()


class ReleaseCommand(Model):
    """A command that runs once for each release, on one host, before any host switches to it.

    `contract` says that releases before this one no longer work once it ran, as after a migration
    that drops a column. Going back to one of them needs `steer rollout undo --force`, and a host
    that has switched stays with this release even if it is rejected.

    `idempotent` says that running it once more does no harm: one that was lost with a reboot of its
    host is then begun again, and does not reject the release.
    """

    command: Command
    timeout: Timeout = 600.0
    contract: Flag = False
    idempotent: Flag = False


Gate = Literal["build", "rollout", "none"]


class Push(Model):
    """What a git push to this app's repository on the controller has to pass.

    `gate` says what must succeed before the ref moves (without it, what the daemon's own settings
    say), `force` that the deployed branch may be rewritten.
    """

    gate: Gate | None = None
    force: Flag = False


class AppSpec(Model):
    """What an app is. With no processes, the source's Procfile says them."""

    source: Source
    build: Build = Build()
    config: Config = Config()
    release: ReleaseCommand | None = None
    processes: Mapping[ProcessName, Process] = Field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    placement: Placement = Placement()
    rollout: Rollout = Rollout()
    push: Push = Push()
    history: Annotated[int, Field(strict=True, ge=1, le=1000)] = 10
    user: User | None = None

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> "AppSpec":
        refuse_all([*_lost_routes(self.routes, self.processes), *_doubled_routes(self.routes)])
        return self


def _lost_routes(routes: Sequence[Route], processes: Mapping[str, Process]) -> list[Refused]:
    refusals = []
    for number, route in enumerate(routes):
        # Without processes the Procfile decides, and only a build reads that.
        if route.process is None or not processes:
            continue
        process = processes.get(route.process)
        if process is not None and process.port is not None:
            continue
        fault = "which is not one of its processes" if process is None else "which has no port"
        with_port = [name for name, each in processes.items() if each.port is not None]
        refusals.append(
            Refused(
                f"{quoted(route.process)}, {fault}",
                ", ".join(with_port) or "a process with `port: http`, and there is none",
                at=("routes", number, "process"),
            )
        )
    return refusals


def _doubled_routes(routes: Sequence[Route]) -> list[Refused]:
    refusals = []
    seen: dict[tuple[str, str], int] = {}
    for number, route in enumerate(routes):
        first = seen.setdefault((route.host, route.path), number)
        if first != number:
            refusals.append(
                Refused(
                    f"{route.host}{route.path} again, as in routes[{first}]",
                    "one route for each host and path",
                    at=("routes", number),
                )
            )
    return refusals


class ProcessStatus(Model):
    """How one process of an app is on one host."""

    host: Name
    process: ProcessName
    release: Number
    desired: Count
    ready: Count


class AppStatus(Model):
    """What the controller last saw of an app; `release` is the one that serves."""

    observed_generation: Number = 0
    conditions: Conditions = ()
    release: Number | None = None
    latest_release: Number | None = None
    commit: str | None = None
    hosts: tuple[Name, ...] = ()
    processes: tuple[ProcessStatus, ...] = ()


class App(Object):
    """An app: `kind: App`."""

    kind: Literal["App"] = "App"
    metadata: AppMeta
    spec: AppSpec
    status: AppStatus = AppStatus()

    @property
    def user(self) -> str:
        """The Linux user that its processes run as."""
        return self.spec.user if self.spec.user is not None else app_user(self.name)
