"""An ear at every host for as long as the daemon lives: what is heard is published as signals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import orjson
import structlog

from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.control.attend import FIRST, LAST
from steersman.control.hosts import HostLink
from steersman.control.session import Session
from steersman.telemetry.asking import Asked, Asking, from_their_start
from steersman.telemetry.heard import Heard
from steersman.telemetry.hub import Hub
from steersman.telemetry.positions import Positions
from steersman.transport.frames import Reply

log = structlog.get_logger(__name__)

FOLDER = "listening"
COUNTED_EVERY = 10.0
"""Seconds between two counts of lines, and between two looks at what has become of apps."""
LEARNED_FOR = 30.0
"""Seconds for which an app's secrets are taken as known to the masks."""
LARGEST = 1 << 24


class Listeners:
    """One task for each host. What a batch says is published, and then remembered as heard."""

    def __init__(self, session: Session, hub: Hub, folder: Path) -> None:
        self._session = session
        self._hub = hub
        self._positions = Positions(folder / FOLDER)
        self._hosts: Mapping[str, Host] = {}
        self._is_open = False
        self._tasks: dict[str, tuple[Host, asyncio.Task[None]]] = {}
        self._commits: dict[tuple[str, int], str] = {}
        self._learned: dict[str, float] = {}
        self._asked: dict[str, Asked] = {}
        self._asking = Asking(session.memory)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen to the hosts that `attend` is told of while the body runs.

        To be left before those who join the hub: what is remembered as heard has reached them.
        """
        self._is_open = True
        following = asyncio.create_task(self._asking.follow(), name="apps listened to")
        await self.attend(self._hosts)
        try:
            yield
        finally:
            self._is_open = False
            await self._close()
            await _end(following)

    async def attend(self, hosts: Mapping[str, Host]) -> None:
        """Listen to these hosts from now on, and to no others; anew where apps have moved."""
        self._hosts = hosts
        if not self._is_open:
            return
        for name, (host, task) in list(self._tasks.items()):
            if name not in hosts or hosts[name].spec != host.spec:
                del self._tasks[name]
                await _end(task)
        for name, host in hosts.items():
            if name not in self._tasks:
                task = asyncio.create_task(self._attend(name), name=f"listen to {name}")
                self._tasks[name] = host, task

    async def _close(self) -> None:
        tasks, self._tasks = self._tasks, {}
        await asyncio.gather(*(_end(task) for _, task in tasks.values()))
        self._positions.close()

    async def _attend(self, name: str) -> None:
        wait = FIRST
        while True:
            try:
                # Whoever attends the host tries to reach it; a second one would only add to that.
                if name not in self._session.silent:
                    link = await self._session.connect(self._hosts[name], self._hosts)
                    wait = FIRST
                    while await self._listen(link):
                        pass
            except SteersmanError as error:
                log.warning("listening_broke_off", host=name, why=str(error))
            except Exception:
                log.exception("listening_crashed", host=name)
                wait = min(wait * 2, LAST)
            await asyncio.sleep(wait)

    async def _listen(self, link: HostLink) -> bool:
        """Listen until the stream ends, or until other apps are there; return whether they are."""
        heard = Heard(link.name, link.masks, self._commit_of)
        changes = self._asking.changes
        asked = await self._asking.of(link)
        at = from_their_start(self._positions.read(link.name), self._asked.get(link.name), asked)
        self._asked[link.name] = asked
        sources = {name: {**settings, "at": at.get(name)} for name, settings in asked.items()}
        counted = time.monotonic()
        async with aclosing(link.link.stream("listen", sources=sources)) as batches:
            async for batch in batches:
                await self._take(link, heard, batch)
                if time.monotonic() - counted < COUNTED_EVERY:
                    continue
                counted = time.monotonic()
                for sample in heard.counts(time.time()):
                    self._hub.publish(sample)
                if changes == self._asking.changes:
                    continue
                changes = self._asking.changes
                if await self._asking.of(link) != asked:
                    return True  # it begins again where it ends
        return False

    def _commit_of(self, app: str, number: int) -> str:
        return self._commits.get((app, number), "")

    async def _take(self, link: HostLink, heard: Heard, batch: Reply) -> None:
        if "count" not in batch.header:
            return  # the last answer only says that it is
        messages = orjson.loads(batch.body) if len(batch.body) <= LARGEST else []
        await self._prepare(heard.apps_in(messages))
        for signal in heard.signals(messages):
            self._hub.publish(signal)
        if "at" in batch.header:
            self._positions.write(link.name, dict(batch.header["at"]))
        for lack in heard.lacks:
            log.warning("host_lacks", host=link.name, why=lack)
        heard.lacks.clear()

    async def _prepare(self, apps: set[str]) -> None:
        """Have the apps' secrets masked, and their releases known, before anything is read."""
        now, memory = time.monotonic(), self._session.memory
        due = [app for app in apps if self._learned.get(app, -LEARNED_FOR) <= now - LEARNED_FOR]
        if not due:
            return
        known = await memory.apps()
        for app in due:
            self._learned[app] = now
            for release in await memory.releases(app):
                self._commits[app, release.spec.number] = release.spec.commit or ""
            if app in known:
                await self._session.vault.learn(known[app].spec.config.secrets)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
