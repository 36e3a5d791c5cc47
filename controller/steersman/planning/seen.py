"""What a host was seen to hold: the hand's answer, checked and typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RUNNING = frozenset({"active", "activating", "reloading"})
_UNIT = re.compile(
    r"^steersman-(?P<app>[a-z0-9-]+)\.(?P<process>[a-z0-9-]+)\.g(?P<number>\d+)"
    r"(?:-(?P<part>hold|relay))?(?:@(?P<instance>\d+))?\.(?P<kind>service|socket)$"
)


_JOB_UNIT = re.compile(
    r"^steersman-(?P<app>[a-z0-9-]+)_(?P<job>[a-z0-9-]+)(?:@[a-z0-9-]*)?\.(?:service|timer)$"
)


class BadAnswer(ValueError):
    """The host answered something that no honest hand would."""


@dataclass(frozen=True, slots=True)
class UnitName:
    """The parts of `steersman-<app>.<process>.g<N>[-part][@instance].<kind>`."""

    app: str
    process: str
    number: int
    part: str | None
    instance: str | None
    kind: str

    @property
    def is_one_off(self) -> bool:
        """Whether it is no part of a generation but a release's command, which ends by itself."""
        return (self.part, self.instance, self.kind) == (None, None, "service")


def parse_unit(name: str) -> UnitName | None:
    found = _UNIT.match(name)
    if found is None:
        return None
    return UnitName(
        found["app"],
        found["process"],
        int(found["number"]),
        found["part"],
        found["instance"],
        found["kind"],
    )


def job_of_unit(name: str) -> tuple[str, str] | None:
    """Return the app and job of `steersman-<app>_<job>[@run].service` or `.timer`."""
    found = _JOB_UNIT.match(name)
    return None if found is None else (found["app"], found["job"])


@dataclass(frozen=True, slots=True)
class RunSeen:
    """One record of a job's run, as the host wrote it: times in seconds since 1970.

    `invocations` are systemd's ids of its attempts: the journal knows each by its own.
    """

    id: str
    invocations: tuple[str, ...]
    instance: str
    state: str
    release: int
    started: float
    ended: float | None
    result: str
    code: int | None


@dataclass(frozen=True, slots=True)
class FileSeen:
    sha256: str
    mode: int
    owner: str


@dataclass(frozen=True, slots=True)
class AppSeen:
    """One app's folders and links. `links` are those in its run folder."""

    builds: frozenset[str] = frozenset()
    releases: Mapping[str, str] = field(default_factory=dict)
    current: str | None = None
    dirs: frozenset[str] = frozenset()
    envs: Mapping[str, FileSeen | None] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    run: frozenset[str] = frozenset()
    job_files: Mapping[str, FileSeen | None] = field(default_factory=dict)
    job_runs: Mapping[str, tuple[RunSeen, ...]] = field(default_factory=dict)

    @property
    def current_number(self) -> int | None:
        """The release number that `current` names."""
        return _number_in(self.current)

    @property
    def serving_number(self) -> int | None:
        """The number of the release that traffic goes to, whether or not it is committed."""
        return _number_in(self.links.get("serving"))


def _number_in(path: str | None) -> int | None:
    number = (path or "").rpartition("/")[2].partition("-")[0]
    return int(number) if number.isdigit() else None


@dataclass(frozen=True, slots=True)
class HostSeen:
    """Everything one `observe` tells."""

    epoch: int
    users: Mapping[str, str]
    apps: Mapping[str, AppSeen]
    files: Mapping[str, FileSeen | str | None]
    units: Mapping[str, tuple[str, str]]
    foreign_names: Mapping[str, str]
    ports: frozenset[int]
    proxy: str = ""
    """The state of the proxy's unit; empty where it is no unit that anybody could ask for."""
    runs: Mapping[str, str] = field(default_factory=dict)
    """Of instances: the release that their process was started with, `!` behind it if with other
    variables than that release has."""

    def app(self, name: str) -> AppSeen:
        return self.apps.get(name, AppSeen())

    def units_of(self, app: str) -> dict[str, tuple[str, str]]:
        """The loaded units of `app`'s generations and their (active, sub) states."""
        prefix = f"steersman-{app}."
        named = {n: parse_unit(n) for n in self.units if n.startswith(prefix)}
        return {n: self.units[n] for n, name in named.items() if name and not name.is_one_off}

    def job_units(self, app: str) -> dict[str, str]:
        """The loaded units of an app's jobs, and the job that each belongs to."""
        named = {unit: job_of_unit(unit) for unit in self.units}
        return {unit: name[1] for unit, name in named.items() if name and name[0] == app}

    def is_live(self, unit: str) -> bool:
        """Whether a unit has processes, if only those that are being stopped."""
        return self.units.get(unit, ("absent", ""))[0] not in ("absent", "inactive", "failed")

    def is_running(self, unit: str) -> bool:
        return self.units.get(unit, ("absent", ""))[0] in RUNNING

    @property
    def is_proxy_down(self) -> bool:
        return self.proxy not in {"", *RUNNING}

    def is_stale(self, unit: str) -> bool:
        """Whether an instance runs something else than its name says, by its own process."""
        name, runs = parse_unit(unit), self.runs.get(unit)
        return name is not None and runs is not None and runs != str(name.number)


def parse_seen(answer: Mapping[str, Any]) -> HostSeen:
    """Check the shape of a hand's `seen`; raise `BadAnswer` on anything else."""
    try:
        return HostSeen(
            epoch=int(answer["epoch"]),
            users={str(name): str(row[2]) for name, row in answer["users"].items()},
            apps={str(name): _app(row) for name, row in answer["apps"].items()},
            files={str(path): _file(row) for path, row in answer["files"].items()},
            units={str(n): (str(row[0]), str(row[1])) for n, row in answer["units"].items()},
            runs={str(n): str(row[2]) for n, row in answer["units"].items() if row[2]},
            foreign_names={str(name): str(path) for name, path in answer["names"].items()},
            ports=frozenset(int(port) for port in answer["ports"]),
            proxy=str(answer["proxy"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadAnswer(f"the host's answer to observe makes no sense: {error!r}") from error


def _app(row: Mapping[str, Any]) -> AppSeen:
    return AppSeen(
        builds=frozenset(map(str, row["builds"])),
        releases={str(name): str(build) for name, build in row["releases"].items()},
        current=None if row["current"] is None else str(row["current"]),
        dirs=frozenset(map(str, row["dirs"])),
        envs={str(name): _file_only(seen) for name, seen in row["envs"].items()},
        links={str(name): str(target) for name, target in row["links"].items()},
        run=frozenset(map(str, row["run"])),
        job_files={str(n): _file_only(seen) for n, seen in row["jobs"]["files"].items()},
        job_runs={str(n): tuple(map(_run, runs)) for n, runs in row["jobs"]["runs"].items()},
    )


def _run(row: Mapping[str, Any]) -> RunSeen:
    ended, code = row["ended"], row["code"]
    return RunSeen(
        id=str(row["id"]),
        invocations=tuple(map(str, row["invocations"])),
        instance=str(row["instance"]),
        state=str(row["state"]),
        release=int(row["release"]),
        started=float(row["started"]),
        ended=None if ended is None else float(ended),
        result=str(row["result"]),
        code=None if code is None else int(code),
    )


def _file(row: Any) -> FileSeen | str | None:
    return row if isinstance(row, str) else _file_only(row)


def _file_only(row: Any) -> FileSeen | None:
    return None if row is None else FileSeen(str(row[0]), int(row[1]), str(row[2]))
