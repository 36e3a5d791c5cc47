"""Waiting for one's turn: whoever else holds an app or a host is named, and waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

from steersman.control.report import Reporter
from steersman.store.errors import LeaseHeld, LeaseLost
from steersman.store.protocol import Lease, Store
from steersman.transport.errors import HostBusy

T = TypeVar("T")

PATIENCE = 600.0
"""Seconds to wait for a turn, unless told otherwise."""
# A lease outlives a stalled renewal, and a holder that died is missed soon.
HOLDING, RENEWAL = 60.0, 15.0
POLL = 0.25


_ASKED: ContextVar[float | None] = ContextVar("patience", default=None)


@contextmanager
def patient(seconds: float | None) -> Iterator[None]:
    """Let this task wait so long for its turns, whatever the run's own patience is."""
    token = _ASKED.set(seconds)
    try:
        yield
    finally:
        _ASKED.reset(token)


class Turn:
    """How long one run waits for others, and how it says so."""

    def __init__(self, report: Reporter, patience: float = PATIENCE) -> None:
        self._report = report
        self._patience = patience

    async def taken(self, subject: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what `attempt` returns once nobody else is in its way.

        Raises the LeaseHeld or HostBusy that names the holder after the patience is over.
        """
        loop, asked = asyncio.get_running_loop(), _ASKED.get()
        patience = asked if asked is not None else self._patience
        deadline, said = loop.time() + patience, ""
        while True:
            try:
                return await attempt()
            except (LeaseHeld, HostBusy) as error:
                if loop.time() >= deadline:
                    raise
                if str(error) != said:
                    said = str(error)
                    self._report.said(subject, f"waiting up to {patience:g} s: {said}")
            await asyncio.sleep(POLL)

    @asynccontextmanager
    async def holding(self, store: Store, name: str, holder: str) -> AsyncIterator[None]:
        """Hold the lease `name` while the body runs; losing it cancels the body as LeaseLost."""
        subject = name.rpartition("/")[2]
        lease = await self.taken(subject, lambda: store.acquire_lease(name, holder, HOLDING))
        body = asyncio.current_task()
        lost: list[LeaseLost] = []

        async def renew() -> None:
            try:
                while True:
                    await asyncio.sleep(RENEWAL)
                    await store.renew_lease(lease, HOLDING)
            except LeaseLost as error:
                lost.append(error)
                if body is not None:
                    body.cancel()

        renewal = asyncio.create_task(renew())
        try:
            yield
        except asyncio.CancelledError:
            if lost:
                raise lost[0] from None
            raise
        finally:
            await _end(renewal)
            await _give_back(store, lease)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _give_back(store: Store, lease: Lease) -> None:
    # Shielded: a run that is interrupted must not leave others waiting for it.
    await asyncio.shield(store.release_lease(lease))
