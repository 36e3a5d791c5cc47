"""One app, all its hosts: which of them get which of its releases, and which have to leave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.control.admission import placed
from steersman.control.artifacts import Artifacts
from steersman.control.binding import Binding, HostMoved
from steersman.control.choice import Choice
from steersman.control.choose import Aim, Chooser
from steersman.control.deploying import Deploying
from steersman.control.fixed import Secrets
from steersman.control.hosts import HostLink
from steersman.control.memory import Memory
from steersman.control.outcome import HostOutcome, NowhereToRun, Outcome
from steersman.control.release import relayed
from steersman.control.report import Verdict
from steersman.control.session import Session
from steersman.planning.placement import Places, Shares, gaining, held_by, place, while_moving


class Rollout:
    """Brings one app to what its object says, on every host it is placed on."""

    def __init__(
        self,
        session: Session,
        artifacts: Artifacts,
        *,
        is_dry: bool = False,
        pretended: Secrets | None = None,
        binding: Binding | None = None,
    ) -> None:
        self._session = session
        self._memory: Memory = session.memory
        self._report = session.report
        self._is_dry = is_dry
        self._binding = binding
        self._chooser = Chooser(session, artifacts, pretended or {}, is_dry=is_dry, binding=binding)
        self._deploying = Deploying(session, self._chooser, is_dry=is_dry)

    async def run(self, app: App, hosts: Mapping[str, Host], aim: Aim = "newest") -> Outcome:
        """Converge `app`; errors of single hosts are in the outcome and stop no other host.

        Hosts that gain something of the app come first: only when those serve does a host that
        has to give something up do so. An app that fits nowhere is left where it is.
        """
        places = place(app, hosts)
        former = [n for n in app.status.hosts if n in hosts and n not in places.hosts]
        links, errors = await self._session.connect_all([*places.hosts, *former], hosts)
        if self._binding is not None:
            errors |= await self._binding.moved(app, links.values())
            links = {name: link for name, link in links.items() if name not in errors}
        lost = self._lost(app, errors)
        placed_links = [links[name] for name in places.hosts if name in links]
        if not placed_links:
            error = None if places.hosts else NowhereToRun(app)
            return Outcome(app.name, None, tuple(lost), error)
        try:
            choice = await self._choice(app, placed_links, places.shares, aim)
            choice, differing = await self._bound(choice)
            errors |= differing
            lost += self._lost(app, differing)
            if not choice.links:
                return Outcome(app.name, choice.release, tuple(lost))
            deployed = await self._spread(choice, places)
        except SteersmanError as error:
            return Outcome(app.name, None, tuple(lost), error)
        removed: list[HostOutcome] = []
        if deployed.is_there and not errors.keys() & gaining(app, places):
            removed = await self._deploying.remove(
                app, [links[name] for name in former if name in links]
            )
        return replace(deployed, hosts=(*lost, *removed, *deployed.hosts))

    async def _bound(self, choice: Choice) -> tuple[Choice, dict[str, SteersmanError]]:
        """Return the choice without the hosts where it is not what was planned, and why not."""
        if self._binding is None:
            return choice, {}
        wanted = await self._deploying.wanted(choice, choice.release)
        differing = await self._binding.differing(choice.links, wanted)
        there = [link for link in choice.links if link.name not in differing]
        return replace(choice, links=there), differing

    async def _spread(self, choice: Choice, places: Places) -> Outcome:
        """Deploy with nobody running less than before; once all is there, with what is wanted."""
        app = choice.app
        moving = while_moving(places, held_by(app), relayed(app))
        if self._is_dry or moving == places:
            return replace(await self._deploying.deploy(choice), shares=places.shares)
        first = await self._deploying.deploy(replace(choice, shares=moving.shares))
        absent = set(places.hosts) - {link.name for link in choice.links}
        if not first.is_there or absent & gaining(app, places):
            return replace(first, shares=moving.shares)
        # It says by now how it went, and which number it got.
        releases = await self._memory.releases(app.name)
        number = (first.release or choice.release).spec.number
        release = next(r for r in releases if r.spec.number == number)
        again = replace(choice, release=release, releases=releases)
        return replace(first.then(await self._deploying.deploy(again)), shares=places.shares)

    async def newer(self, app: App, hosts: Mapping[str, Host]) -> str | None:
        """Return the digest that `app` asks for now, if that is not its newest release's."""
        return await self._chooser.newer(app, place(app, hosts).shares)

    async def remove(self, app: App, hosts: Mapping[str, Host]) -> Outcome:
        """Leave no trace of `app` on any host."""
        names = {*placed(app, hosts), *app.status.hosts} & set(hosts)
        return await self.remove_from(app, hosts, sorted(names))

    async def remove_from(
        self, app: App, hosts: Mapping[str, Host], names: Sequence[str]
    ) -> Outcome:
        """Leave no trace of `app` on the named hosts."""
        links, errors = await self._session.connect_all(names, hosts)
        lost = self._lost(app, errors)
        return Outcome(app.name, None, (*lost, *await self._deploying.remove(app, links.values())))

    def _lost(self, app: App, errors: Mapping[str, SteersmanError]) -> list[HostOutcome]:
        lost = []
        for name, error in errors.items():
            verdict: Verdict = "failed" if isinstance(error, HostMoved) else "unreachable"
            self._report.host_ended(name, app.name, verdict, str(error))
            lost.append(HostOutcome(name, verdict, error=error))
        return lost

    async def _choice(self, app: App, links: list[HostLink], shares: Shares, aim: Aim) -> Choice:
        release = await self._chooser.choose(app, links, shares, aim)
        releases = await self._memory.releases(app.name)
        return Choice(app, release, releases, links, shares)
