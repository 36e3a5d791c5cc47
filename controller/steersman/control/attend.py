"""A link to every host for as long as the daemon lives, and an ear at each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import structlog

from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.api.meta import READY, Condition, find_condition, set_condition
from steersman.control.hosts import HostLink
from steersman.control.memory import NotFound
from steersman.control.session import Session
from steersman.control.status import first_sentence

log = structlog.get_logger(__name__)

FIRST, LAST = 1.0, 300.0
"""Seconds between tries to reach a host: after the first failure, and at most."""
LOOK = 60.0
"""Seconds after which a host is looked at although it told of nothing."""


class Attendants:
    """One task for each host: it connects, listens, and says when the host is to be looked at.

    `changed(host)` is called for every burst of changes, and whenever a host is there again.
    """

    def __init__(
        self,
        session: Session,
        changed: Callable[[str], Awaitable[None]],
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._session = session
        self._changed = changed
        self._jitter = jitter
        self._tasks: dict[str, tuple[Host, asyncio.Task[None]]] = {}
        self._hosts: Mapping[str, Host] = {}

    async def attend(self, hosts: Mapping[str, Host]) -> None:
        """Attend these hosts from now on, and no others."""
        self._hosts = hosts
        for name, (host, task) in list(self._tasks.items()):
            if name not in hosts or hosts[name].spec != host.spec:
                del self._tasks[name]
                await _end(task)
                await self._session.leave(name)
        for name, host in hosts.items():
            if name not in self._tasks:
                task = asyncio.create_task(self._attend(name), name=f"attend {name}")
                self._tasks[name] = host, task

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, {}
        await asyncio.gather(*(_end(task) for _, task in tasks.values()))

    async def _attend(self, name: str) -> None:
        failures = 0
        while True:
            try:
                link = await self._session.connect(self._hosts[name], self._hosts)
                await self._is_there(name)
                failures = 0
                await self._listen(link)
            except SteersmanError as error:
                await self._is_lost(name, error)
            except Exception:
                # A fault of ours with one host must not end the watch over it.
                log.exception("attendant_crashed", host=name)
            wait = min(FIRST * 2.0 ** min(failures, 20), LAST) * (1 + 0.1 * self._jitter())
            failures += 1
            await asyncio.sleep(wait)

    async def _listen(self, link: HostLink) -> None:
        """Say what changes until the link is lost, which raises; look now and then anyway."""
        looking = asyncio.create_task(self._look_now_and_then(link.name))
        try:
            async for _ in link.changes():
                await self._changed(link.name)
        finally:
            await _end(looking)

    async def _look_now_and_then(self, name: str) -> None:
        while True:
            await asyncio.sleep(LOOK * (1 + 0.1 * self._jitter()))
            await self._changed(name)

    async def _is_there(self, name: str) -> None:
        self._session.silent.pop(name, None)
        if await self._set_ready(name, "True", "Connected", ""):
            log.info("host_connected", host=name)

    async def _is_lost(self, name: str, error: SteersmanError) -> None:
        # Whoever works on its apps must not wait for it again and again.
        self._session.silent[name] = error
        why = first_sentence(str(error))
        if await self._set_ready(name, "False", type(error).__name__, why):
            log.warning("host_lost", host=name, why=why)
            await self._session.memory.note("Host", name, "HostLost", why, name, "Warning")

    async def _set_ready(self, name: str, status: str, reason: str, message: str) -> bool:
        """Remember whether a host answers; return whether that is news."""
        memory = self._session.memory
        try:
            host = await memory.host(name)
        except NotFound:
            return False
        condition = Condition.model_validate(
            {
                "type": READY,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": datetime.now(UTC),
                "observedGeneration": host.metadata.generation,
            }
        )
        known = find_condition(host.status.conditions, READY)
        told = (known.status, known.reason, known.message) if known is not None else None
        if told == (status, reason, message):
            return False
        conditions = set_condition(host.status.conditions, condition)
        await memory.set_host_status(
            host, host.status.model_copy(update={"conditions": conditions})
        )
        return known is None or known.status != status


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
