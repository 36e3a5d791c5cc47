"""Hosts that a rollout has not come to yet, kept as they are while it pauses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.control.drift import is_healed, said_of
from steersman.control.hosts import HostLink
from steersman.control.memory import Memory
from steersman.control.mover import Mover
from steersman.control.report import Silent
from steersman.control.target import Wanted
from steersman.planning.seen import HostSeen

EVERY = 2.0
"""Seconds between two looks: each costs a host that did not change next to nothing."""

log = structlog.get_logger(__name__)


class Holding:
    """Puts right what drifts on hosts that run the release before and nothing of the new one.

    Hosts that have moved are being judged: what breaks there must show. `before` returns what each
    host should hold of the release before.
    """

    def __init__(
        self,
        memory: Memory,
        mover: Mover,
        app: App,
        before: Callable[[], Awaitable[Mapping[str, Wanted]]],
    ) -> None:
        self._memory = memory
        self._mover = mover
        self._dry = Mover(Silent(), is_dry=True)
        self._app = app
        self._before = before
        self._failed: set[str] = set()

    @asynccontextmanager
    async def during(self, links: Sequence[HostLink]) -> AsyncIterator[None]:
        """Look after these hosts while the body runs."""
        if not links or not is_healed(self._app):
            yield
            return
        over = asyncio.Event()
        task = asyncio.create_task(self._keep(links, over))
        try:
            yield
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            over.set()
            # What is being made on a host must be whole before anything else is made there.
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(ended, Exception):
                log.warning("hosts_not_held", app=self._app.name, why=str(ended))

    async def _keep(self, links: Sequence[HostLink], over: asyncio.Event) -> None:
        before = await self._before()
        while not over.is_set():
            held = [link for link in links if link.name not in self._failed]
            await asyncio.gather(*(self._look(link, before[link.name]) for link in held))
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await over.wait()

    async def _look(self, link: HostLink, wanted: Wanted) -> None:
        try:
            seen = await link.observe()
        except SteersmanError:
            # One that is silent is told of when its turn comes.
            return
        if not boots_into(seen, wanted) or not (await self._dry.move(link, wanted, seen)).steps:
            return
        healed = await self._mover.move(link, wanted)
        if healed.error is not None:
            self._failed.add(link.name)
        elif healed.steps:
            said = said_of(healed.steps)
            log.info("drift_healed", app=self._app.name, host=link.name, did=said)
            await self._memory.note("App", self._app.name, "Healed", said, link.name)


def boots_into(seen: HostSeen, wanted: Wanted) -> bool:
    """Whether a host returns to this release when it boots: it has come to it, and not further."""
    return seen.app(wanted.app.name).current == f"releases/{wanted.release_name}"
