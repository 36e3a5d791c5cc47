"""Keeping apps off a host: cordon, uncordon, and drain, which first brings them elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import CORDON, Host
from steersman.control.outcome import Outcome
from steersman.control.session import Session
from steersman.control.status import without
from steersman.planning.placement import place, replicas_of
from steersman.store.errors import Conflict


class NowhereElse(SteersmanError):
    """Apps on a host that is to be drained fit no other host; nothing was changed."""

    def __init__(self, host: str, stuck: Mapping[str, str]) -> None:
        told = "\n".join(f"  app {app} {why}" for app, why in stuck.items())
        super().__init__(
            f"host {host} was not drained: what runs there has nowhere else to go\n{told}\n"
            "  apply or uncordon hosts that fit, or stop these apps: "
            f"`steer host drain {host} --force`"
        )


class NotDrained(SteersmanError):
    """Something stayed on a host; it serves there as before."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(
            f"host {host} is not drained: {why}; what is left there serves as before and nothing"
            f" new comes: run `steer host drain {host}` again, or `steer host uncordon {host}`"
        )


class Cordons:
    """What the verbs of `steer host` change; `reconcile` and `evict` work on one app each."""

    def __init__(
        self,
        session: Session,
        reconcile: Callable[[str], Awaitable[Outcome]],
        evict: Callable[[str, str], Awaitable[Outcome]],
    ) -> None:
        self._session = session
        self._memory = session.memory
        self._report = session.report
        self._reconcile = reconcile
        self._evict = evict

    async def cordon(self, name: str) -> bool:
        """Let nothing new come to a host; return False if nothing did already."""
        host = await self._memory.host(name)
        if host.metadata.annotations.get(CORDON) is not None:
            return False
        await self._memory.set_cordon(host, "cordoned")
        await self._memory.note("Host", name, "Cordoned", f"host {name} gets nothing new")
        return True

    async def uncordon(self, name: str) -> list[Outcome] | None:
        """Let apps come to a host again, and bring those that belong there; None: they could."""
        host = await self._memory.host(name)
        if host.cordon is None:
            return None
        await self._memory.set_cordon(host, None)
        await self._memory.note("Host", name, "Uncordoned", f"host {name} takes apps again")
        hosts = await self._memory.hosts()
        apps = (await self._memory.apps()).values()
        back = sorted(app.name for app in apps if name in place(app, hosts).hosts)
        return list(await asyncio.gather(*(self._reconcile(each) for each in back)))

    async def drain(
        self, name: str, *, is_forced: bool, within: float | None
    ) -> tuple[bool, list[Outcome]]:
        """Bring what a host runs elsewhere, then stop it there; nothing comes back by itself.

        Returns whether the host is empty, and how each app fared. `within` are seconds. Raises
        NowhereElse before anything changes, unless `is_forced`: what fits nowhere else is then
        stopped. Raises NotDrained when the time is over, or a paused rollout holds an app there.
        """
        host = await self._memory.host(name)
        stuck = await self._stuck(host)
        if stuck and not is_forced:
            raise NowhereElse(name, stuck)
        await self._memory.set_cordon(host, "drained")
        try:
            async with asyncio.timeout(within):
                outcomes = await self._move(host, stuck)
        except TimeoutError:
            raise NotDrained(name, f"it took longer than {within:g} s") from None
        left = await self._left(name, outcomes)
        if not left:
            await self._memory.note("Host", name, "Drained", f"host {name} holds nothing any more")
        return not left, outcomes

    async def _left(self, name: str, outcomes: Sequence[Outcome]) -> list[str]:
        """Return the apps that a drained host still has; raises NotDrained if none says why."""
        left = [app.name for app in await self._apps_on(name)]
        if left and all(outcome.is_good for outcome in outcomes):
            halted = [f"app {each.app} is {each.halted}" for each in outcomes if each.halted]
            raise NotDrained(name, "; ".join(halted) or f"{', '.join(left)} came there meanwhile")
        return left

    async def give_up(
        self,
        name: str,
        *,
        is_orphan: bool,
        still: Callable[[], Awaitable[int | None]],
        forget: Callable[[Host], Awaitable[None]],
    ) -> list[Outcome]:
        """Forget a host, after every app has left it; one that is orphaned is left as it is.

        `still` returns its version before each change, or raises why it is not to go any more.
        """
        host = await self._memory.host(name)
        outcomes: list[Outcome] = []
        if not is_orphan:
            host = await self._closed(name, still)
            outcomes = await self._move(host, await self._stuck(host))
            if await self._left(name, outcomes):
                return outcomes
            link = await self._session.connect(host, await self._memory.hosts())
            await link.call("leave")
        apps = await self._apps_on(name)
        # Whoever wants the host otherwise by now has apps there that are still known to be.
        await still()
        for app in apps:
            await self._memory.set_app_status(app, without(app, name))
        await forget(host)
        hosts = await self._memory.hosts()
        heirs = [app.name for app in apps if replicas_of(app) and place(app, hosts).hosts]
        return [*outcomes, *[await self._reconcile(each) for each in heirs]]

    async def _closed(self, name: str, still: Callable[[], Awaitable[int | None]]) -> Host:
        """Drain a host as `still` has found it; what others change at the same time stays."""
        while True:
            version = await still()
            host = await self._memory.host(name)
            with suppress(Conflict):
                return await self._memory.set_cordon(host, "drained", version)

    async def _move(self, host: Host, stuck: Mapping[str, str]) -> list[Outcome]:
        """Take every app off a drained host; those that are stuck there just stop."""

        async def one(app: App) -> Outcome:
            if app.name in stuck:
                self._report.said(app.name, f"stops on {host.name}: it {stuck[app.name]}")
                return await self._evict(app.name, host.name)
            others = ", ".join(place(app, await self._drained(host)).hosts)
            self._report.said(app.name, f"leaves {host.name}; runs on {others}")
            return await self._reconcile(app.name)

        return list(await asyncio.gather(*(one(app) for app in await self._apps_on(host.name))))

    async def _stuck(self, host: Host) -> dict[str, str]:
        """Return the apps that no other host can take over, and why."""
        hosts = await self._drained(host)
        stuck = {}
        for app in await self._apps_on(host.name):
            places = place(app, hosts)
            wanted = replicas_of(app)
            taken = sum(sum(share.values()) for share in places.shares.values())
            fits = (
                f"that fits {app.spec.placement.text}" if app.spec.placement.text else "to run on"
            )
            if not places.hosts:
                stuck[app.name] = f"has no other host {fits}"
            elif taken < wanted:
                stuck[app.name] = f"has no open host {fits} for {wanted - taken} replicas"
        return stuck

    async def _apps_on(self, name: str) -> list[App]:
        apps = (await self._memory.apps()).values()
        return sorted((app for app in apps if name in app.status.hosts), key=lambda app: app.name)

    async def _drained(self, host: Host) -> dict[str, Host]:
        """Return the hosts as they will be."""
        annotations = {**host.metadata.annotations, CORDON: "drained"}
        metadata = host.metadata.model_copy(update={"annotations": annotations})
        return {
            **await self._memory.hosts(),
            host.name: host.model_copy(update={"metadata": metadata}),
        }
