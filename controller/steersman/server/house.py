"""The doors that `serve.yaml` opens: git push, webhooks and polling, ready to be entered."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from steersman.api.errors import SteersmanError
from steersman.control.apply import Controller
from steersman.control.artifacts import Artifacts
from steersman.control.following import Wake
from steersman.control.keeper import RESYNC
from steersman.control.memory import NotFound
from steersman.control.polling import Poller, Watched, watched_in
from steersman.control.relay import Relay
from steersman.control.repositories import Repositories, Suspended
from steersman.control.session import Session
from steersman.sealing.keyring import Keyring
from steersman.server.config import ServeConfig
from steersman.server.daemon import kept_going
from steersman.server.git.create import Pushes
from steersman.server.git.depot import Depot
from steersman.server.git.endpoint import FOLDER, git_endpoint
from steersman.server.hooks import HookDoor


@dataclass(frozen=True, slots=True)
class House:
    """What the doors lead to: the daemon's one session and controller, and what they keep."""

    state_dir: Path
    session: Session
    controller: Controller
    artifacts: Artifacts
    repositories: Repositories
    relay: Relay
    keys: Keyring


def doors_of(
    config: ServeConfig, house: House, wake: Wake
) -> list[AbstractAsyncContextManager[object]]:
    """Return the doors to open; webhooks are not among them, as they come in by the API's."""
    doors: list[AbstractAsyncContextManager[object]] = [
        kept_going("polling", _poller(config, house, wake).run),
        kept_going("repositories", lambda: _resync(house, wake)),
    ]
    if config.git is not None:
        doors.append(
            git_endpoint(
                *(config.git, house.state_dir, house.session, house.controller, house.artifacts),
                *(house.relay, house.keys, wake),
            )
        )
    return doors


def pushes_of(config: ServeConfig, house: House) -> Pushes:
    """Return what makes repositories to push to."""
    depot = Depot(house.state_dir / FOLDER, os.environ)
    return Pushes(depot, house.controller, house.session.memory, config.git)


def hook_app(config: ServeConfig, house: House, wake: Wake) -> ASGIApp:
    """Return the door for webhooks, which comes in by the API's: it answers at /hooks/NAME."""

    async def secrets(name: str) -> Sequence[str]:
        return tuple((await house.session.vault.current([name]))[name].values())

    door = HookDoor(config.hooks, house.session.memory.store, secrets, wake)
    inner = door.app()

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        # Its routes are whole paths, also where it is mounted below one.
        await inner({**scope, "root_path": ""}, receive, send)

    return outer


class Follow:
    """Reconciles `Repository/NAME`, for the keeper."""

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    async def reconcile(self, name: str, asked: bool) -> None:
        """Bring what a repository says; raises why that is not so."""
        try:
            followed = await self._repositories.reconcile(name)
        except NotFound:
            return
        error: SteersmanError | None = followed.error
        if error is not None and not isinstance(error, Suspended):
            raise error


def _poller(config: ServeConfig, house: House, wake: Wake) -> Poller:
    async def watched() -> list[Watched]:
        found = await watched_in(house.session.memory, config.poll.interval)
        # Whoever pushes to a repository of ours is heard at once.
        ours = f"{house.state_dir / FOLDER}/"
        return [each for each in found if not each.url.startswith(ours)]

    return Poller(watched, house.repositories.stands, wake)


async def _resync(house: House, wake: Wake) -> None:
    """Look at every repository now and then: somebody may have changed what it says by hand."""
    while True:
        await asyncio.sleep(RESYNC * (1 + 0.1 * random.random()))  # noqa: S311 - spreads load only
        for stored in await house.session.memory.store.list("Repository"):
            wake(f"Repository/{stored.name}", asked=False)
