"""The daemon's engine: one keeper, an ear at every host and one at the store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from steersman.api.host import Host
from steersman.control.apply import Controller
from steersman.control.artifacts import Artifacts
from steersman.control.attend import Attendants
from steersman.control.drift import Drift
from steersman.control.following import Follower
from steersman.control.keeper import RESYNC, Failed, Keeper, Reconcile
from steersman.control.keeping import Apps, drift_key
from steersman.control.session import Session


class Ears(Protocol):
    """Whoever wants to know which hosts there are, besides those who look after them."""

    async def attend(self, hosts: Mapping[str, Host]) -> None: ...


class Engine:
    """Keeps hosts in agreement with the store for as long as it runs.

    `more` are reconcilers of other kinds, by kind. What is woken before it runs is worked on then.
    `ears` are told the hosts whenever these change.
    """

    def __init__(
        self,
        session: Session,
        controller: Controller,
        artifacts: Artifacts,
        more: Mapping[str, Reconcile] | None = None,
        *,
        ears: Sequence[Ears] = (),
        jitter: Callable[[], float] = random.random,
        failed: Failed = lambda key, error: None,
    ) -> None:
        self._session = session
        self._memory = session.memory
        self._memory.keep_views()
        self._jitter = jitter
        self._ears = ears
        apps = Apps(
            session, controller, Drift(session, artifacts), lambda key: self.wake(key, asked=False)
        )
        reconcilers = {"App": apps.app, "Drift": apps.drift, **(more or {})}
        self.keeper = Keeper(reconcilers, jitter=jitter, failed=failed)
        self.wake = self.keeper.wake
        self.is_ready = asyncio.Event()
        """Set once everything that was known at the start has been seen."""

    async def run(self) -> None:
        """Work until cancelled; then every link is left, and no app notices."""
        attendants = Attendants(self._session, self._host_changed, jitter=self._jitter)
        follower = Follower(
            self._memory, self.wake, self.keeper.drop, partial(self._attend, attendants)
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.keeper.run(), name="keeper")
                tasks.create_task(follower.run(), name="follower")
                tasks.create_task(self._resync(), name="resync")
        finally:
            await attendants.close()

    async def _attend(self, attendants: Attendants, hosts: Mapping[str, Host]) -> None:
        await attendants.attend(hosts)
        for ears in self._ears:
            await ears.attend(hosts)
        self.is_ready.set()

    async def _host_changed(self, host: str) -> None:
        """Look again at all that is, or should be, on a host."""
        for app in await self._memory.apps_on(host):
            self.wake(drift_key(app, host), asked=False)

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(RESYNC * (1 + 0.1 * self._jitter()))
            for name in await self._memory.apps():
                self.wake(f"App/{name}", asked=False)
