"""The git endpoint: who logged in, what for, and one service for each command."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from steersman.control.apply import Controller
from steersman.control.artifacts import Artifacts
from steersman.control.relay import Relay
from steersman.control.session import Session
from steersman.sealing.keyring import Keyring
from steersman.server.git.commands import parse_command
from steersman.server.git.config import Git
from steersman.server.git.deploys import Deploys
from steersman.server.git.depot import Depot
from steersman.server.git.progress import QUIET
from steersman.server.git.push import Judge, Wake
from steersman.server.git.service import Service
from steersman.transport.git_server import Channel, Listening, Request, git_server

MOST_AT_ONCE = 16
MOST_FOR_ONE = 4
"""Clients at once: pushes that wait for each other must not keep everybody else's out."""
FOLDER = "git"
REFUSED = 1

log = structlog.get_logger(__name__)


@asynccontextmanager
async def git_endpoint(
    config: Git,
    state_dir: Path,
    session: Session,
    controller: Controller,
    artifacts: Artifacts,
    relay: Relay,
    keys: Keyring,
    wake: Wake,
) -> AsyncGenerator[Listening]:
    """Take pushes until the block ends; repositories and the host key lie in `state_dir`/git.

    `session` reports to `relay`, so that a pusher hears what his own push does.
    """
    depot = Depot(state_dir / FOLDER, os.environ)
    depot.prepare()
    deploys = Deploys(session, controller, artifacts, relay, keys)
    judge = Judge(depot, deploys, wake, gate=config.gate, max_tree=config.max_tree)
    async with serving(config, depot, judge) as listening:
        yield listening


@asynccontextmanager
async def serving(
    config: Git, depot: Depot, judge: Judge, quiet: float = QUIET
) -> AsyncGenerator[Listening]:
    """Serve the repositories of a depot until the block ends.

    Who pushes hears every `quiet` seconds what is waited for.
    """
    door = _Door(config, depot, Service(depot, judge, config.max_pack, quiet))
    host, port = config.place
    lines = {name: key.key for name, key in config.keys.items()}
    async with git_server(host, port, depot.root / "host_key", lines, door.serve) as listening:
        log.info("git_listens", port=listening.port, fingerprint=listening.fingerprint)
        yield listening


class _Door:
    """Lets a key do what it is for, and a few do so at once."""

    def __init__(self, config: Git, depot: Depot, service: Service) -> None:
        self._config = config
        self._depot = depot
        self._service = service
        self._serving: Counter[str] = Counter()

    async def serve(self, request: Request, channel: Channel) -> int:
        command = parse_command(request.command)
        if command is None:
            log.warning("git_command_refused", key=request.key, address=request.address)
            await channel.complain(
                "only git push, fetch and clone of an app work here:"
                " `git remote add steer ssh://git@THIS-ADDRESS/APP`\n"
            )
            return REFUSED
        app = command.app
        # One answer for both: a key learns nothing of what else there is.
        if not self._config.keys[request.key].may(app) or not self._depot.has(app):
            log.warning("git_app_refused", key=request.key, app=app, address=request.address)
            await channel.complain(
                f"key {request.key} may not use {app}, or there is no such app here;"
                f" `steer git create {app}` makes one, git.keys in serve.yaml says whose it is\n"
            )
            return REFUSED
        if self._serving[app] >= MOST_FOR_ONE or self._serving.total() >= MOST_AT_ONCE:
            await channel.complain("too many others push or fetch just now; try again\n")
            return REFUSED
        self._serving[app] += 1
        try:
            status = await self._service.run(command, request.key, channel)
            if command.service == "receive-pack":
                await self._depot.tidy(app)
            return status
        finally:
            self._serving[app] -= 1
