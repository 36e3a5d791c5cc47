"""What was changed on a host behind our back: seen, and put right for one app on one host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steersman.api.app import App
from steersman.api.host import Host
from steersman.api.meta import READY, find_condition
from steersman.api.release import Release
from steersman.control.artifacts import Artifacts
from steersman.control.choose import Chooser
from steersman.control.hosts import HostLink
from steersman.control.mover import Mover
from steersman.control.outcome import HostOutcome
from steersman.control.report import Silent
from steersman.control.session import Session
from steersman.control.target import Wanted
from steersman.planning.placement import place
from steersman.planning.steps import Step

SELF_HEAL = "steersman/self-heal"
"""`off` has drift reported and left alone."""

_RESTING = frozenset({"Deployed", "ReleaseRejected", "HostsFailed"})


def is_healed(app: App) -> bool:
    """Whether drift of this app is to be put right, and not only reported."""
    return app.metadata.annotations.get(SELF_HEAL) != "off"


def said_of(steps: Sequence[Step], most: int = 3) -> str:
    """Return what steps did and why, for people: the first few, and how many more."""
    told = [f"{step.text} ({step.why})" for step in steps[:most]]
    more = len(steps) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Target:
    """What one host should hold of one app."""

    link: HostLink
    wanted: Wanted


class Drift:
    """Compares hosts with what apps at rest have there. What is on the move is a rollout's."""

    def __init__(self, session: Session, artifacts: Artifacts) -> None:
        self._session = session
        self._memory = session.memory
        self._chooser = Chooser(session, artifacts, {}, is_dry=True)
        self._dry = Mover(Silent(), is_dry=True)
        self._mover = Mover(session.report, is_dry=False)

    async def target(self, app: App, hosts: Mapping[str, Host], name: str) -> Target | None:
        """Return what host `name` should hold; None while that is not settled.

        Raises the link's errors. Nothing of the source is asked: drift is put right even while
        the git server is down.
        """
        releases = await self._memory.releases(app.name)
        serving = _serving(app, releases)
        if serving is None:
            return None
        places = place(app, hosts)
        if name not in places.hosts:
            return None
        link = await self._session.connect(hosts[name], hosts)
        wanted = await self._chooser.wanted(app, serving, releases, [link], places.shares)
        return Target(link, wanted[name])

    async def look(self, target: Target) -> tuple[Step, ...]:
        """Return the steps back to the target; none when nothing has drifted."""
        return (await self._dry.move(target.link, target.wanted)).steps

    async def heal(self, target: Target) -> HostOutcome:
        """Bring the host back to the target, and tell how that went."""
        return await self._mover.move(target.link, target.wanted)


def _serving(app: App, releases: Sequence[Release]) -> Release | None:
    """Return the release that an app at rest serves."""
    ready = find_condition(app.status.conditions, READY)
    is_seen = app.status.observed_generation == app.metadata.generation
    if ready is None or ready.reason not in _RESTING or not is_seen:
        return None
    if not releases or releases[-1].status.state == "pending":
        return None
    return next((r for r in releases if r.spec.number == app.status.release), None)
