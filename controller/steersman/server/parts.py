"""What the daemon's doors work with; made once, by whoever puts the daemon together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from steersman.api.mask import Masks
from steersman.control.apply import Controller
from steersman.control.relay import Relay
from steersman.control.repositories import Repositories
from steersman.control.session import Session
from steersman.sealing.keyring import Keyring
from steersman.server.git.create import Pushes
from steersman.server.limits import Limits
from steersman.server.resources import RESOURCES, Resource
from steersman.server.tokens import Tokens
from steersman.store.protocol import Store
from steersman.telemetry.errorlog import ErrorBook
from steersman.telemetry.hub import Hub
from steersman.telemetry.samples import Samples
from steersman.telemetry.shipping import Shipping
from steersman.transport.known_hosts import KnownHosts

log = structlog.get_logger(__name__)


class Works:
    """Work that goes on to its end although nobody listens any more."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    @property
    def count(self) -> int:
        return len(self._running)

    async def end(self, grace: float) -> None:
        """Let what goes on end by itself for `grace` seconds, then cancel it.

        Whatever a rollout was at, the next daemon takes it up from what is on the hosts.
        """
        running = set(self._running)
        if running:
            await asyncio.wait(running, timeout=grace)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@dataclass
class Parts:
    """`keys` open what is sealed, `trusted` are the keys of hosts.

    What is written here is followed by the engine, so that no door has to wake it. `is_ready` says
    why the daemon is not ready to serve, "" when it is. Set `stopping` before the listeners are
    closed: watches and followed logs end then.
    """

    store: Store
    session: Session
    controller: Controller
    relay: Relay
    trusted: KnownHosts
    keys: Keyring
    tokens: Tokens
    repositories: Repositories
    pushes: Pushes
    limits: Limits = field(default_factory=Limits)
    hub: Hub = field(default_factory=Hub)
    samples: Samples | None = None
    errors: ErrorBook | None = None
    shipping: Shipping | None = None
    is_ready: Callable[[], str] = lambda: ""
    resources: Mapping[str, Resource] = field(default_factory=lambda: RESOURCES)
    works: Works = field(default_factory=Works)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    secret_writes: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def masks(self) -> Masks:
        return self.session.vault.masks
