"""Hosts in memory that hold several apps, over links that pass the planner's laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from laws.fake_host import FakeHost
from laws.fleet import FakeLink, FakeSession, FakeWire, Fleet
from steersman.api.host import Host
from steersman.api.mask import Masks
from steersman.control.report import Reporter
from steersman.planning import steps as s
from steersman.planning.seen import HostSeen


class Berth(FakeHost):
    """One host: a fake host of the laws for each of its apps, seen as one."""

    def __init__(self) -> None:
        super().__init__()
        self.apps: dict[str, FakeHost] = {}

    def of(self, app: str) -> FakeHost:
        return self.apps.setdefault(app, FakeHost(app=app))

    def seen(self) -> HostSeen:
        parts = [app.seen() for app in self.apps.values()]
        return HostSeen(
            epoch=1,
            users={name: home for part in parts for name, home in part.users.items()},
            apps={name: app for part in parts for name, app in part.apps.items()},
            files={path: file for part in parts for path, file in part.files.items()},
            units={unit: state for part in parts for unit, state in part.units.items()},
            foreign_names={},
            ports=frozenset(),
        )


class BerthLink(FakeLink):
    """A link to a berth; unchanged hosts answer as the hand does, without being looked through."""

    is_changed = True

    async def _look(self) -> HostSeen:
        if self._seen is None or self.is_changed:
            self._seen = self.wire.fleet.hosts[self.name].seen()
            self.is_changed = False
        return self._seen

    async def apply(self, app: str, step: s.Step, number: int, of: int, report: Reporter) -> None:
        berth = self.wire.fleet.hosts[self.name]
        assert isinstance(berth, Berth)
        if not isinstance(step, s.PassGate | s.Soak):
            berth.of(app).make(step)
        else:
            berth.of(app).gated |= {_number(step)}
        self._changes += 1
        self.is_changed = True


class BerthSession(FakeSession):
    """Links to berths, made once."""

    silent: dict[str, Any] = {}

    def _open(self, host: Host) -> FakeLink:
        wire = FakeWire(self._fleet, host.name)
        made = BerthLink(host, wire, Path, self._above, self._never, self.turn, Masks(), self._held)  # type: ignore[arg-type]
        made.wire = wire
        return made


def fleet_of(hosts: int) -> Fleet:
    return Fleet({f"h{number}": Berth() for number in range(hosts)})


def _number(step: s.PassGate | s.Soak) -> int:
    (unit, *_) = [unit for process in step.processes for unit in process["units"]]
    return int(unit.partition(".g")[2].partition("@")[0])
