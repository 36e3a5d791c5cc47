"""What a release can say of an error: its commit, and the source around each frame."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import structlog

from steersman.api.errors import SteersmanError
from steersman.api.signals import Frame, Raised
from steersman.control.session import Session
from steersman.telemetry.grouping import where

log = structlog.get_logger(__name__)

PATIENCE = 0.5
"""Seconds that an error waits for its source: it is worth more soon than whole."""
REST = 30.0
"""Seconds for which a host that gave no source is not asked again."""
_MOST_KEPT = 512
_MOST_PLACES = 64

Place = tuple[str, int]
"""A file on a host and a line in it."""
Around = tuple[tuple[str, ...], str, tuple[str, ...]]
"""The lines before it, the line, and those after it."""
_UNKNOWN: Around = ((), "", ())


class Sources(Protocol):
    """Where commits and lines of source are looked up; both answer what they know, at once."""

    async def commit(self, app: str, release: int) -> str:
        """Return the commit of a release, "" where it is not known."""
        ...

    async def around(
        self, host: str, app: str, exceptions: Sequence[Raised]
    ) -> tuple[Raised, ...]: ...


class HostSources:
    """Source is read on the host where it runs, and kept for the next error of the same place."""

    def __init__(self, session: Session, patience: float = PATIENCE) -> None:
        self._session = session
        self._patience = patience
        self._kept: OrderedDict[tuple[str, str, int], Around] = OrderedDict()
        self._slow: dict[str, float] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def commit(self, app: str, release: int) -> str:
        for each in await self._session.memory.releases(app) if release else ():
            if each.spec.number == release:
                return each.spec.commit or ""
        return ""

    async def around(self, host: str, app: str, exceptions: Sequence[Raised]) -> tuple[Raised, ...]:
        places = [
            (frame.file, frame.line)
            for each in exceptions
            for frame in each.frames
            if frame.file.startswith("/") and where(frame.file, app).is_in_app
        ]
        lacking = [each for each in dict.fromkeys(places) if (host, *each) not in self._kept]
        if lacking:
            # The last calls say the most.
            await self._read(host, app, lacking[-_MOST_PLACES:])
        return tuple(
            replace(each, frames=tuple(self._with_source(host, frame) for frame in each.frames))
            for each in exceptions
        )

    def _with_source(self, host: str, frame: Frame) -> Frame:
        before, line, after = self._kept.get((host, frame.file, frame.line), _UNKNOWN)
        # What ran is what counts: a file that says something else is not of it.
        if not line or frame.code not in ("", line.strip()):
            return frame
        return replace(frame, before=before, after=after, code=line.rstrip())

    async def _read(self, host: str, app: str, places: Sequence[Place]) -> None:
        if self._slow.get(host, 0.0) > asyncio.get_running_loop().time():
            return  # the errors behind this one would wait as well
        asking = asyncio.create_task(self._keep(host, app, places))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        # What comes too late for this error is there for the next one of these places.
        await asyncio.wait({asking}, timeout=self._patience)
        if not asking.done():
            self._rest(host, app, "no answer in time")

    def _rest(self, host: str, app: str, why: str) -> None:
        self._slow[host] = asyncio.get_running_loop().time() + REST
        log.info("source_not_read", host=host, app=app, why=why)

    async def _keep(self, host: str, app: str, places: Sequence[Place]) -> None:
        try:
            async with asyncio.timeout(REST):
                answer = await self._ask(host, app, places)
        except TimeoutError:
            return  # which was told long ago
        except SteersmanError as error:
            self._rest(host, app, str(error))
            return
        for place, told in zip(places, answer, strict=False):
            self._kept[(host, *place)] = _parsed(place[1], told)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    async def _ask(self, host: str, app: str, places: Sequence[Place]) -> Sequence[Any]:
        hosts = await self._session.memory.hosts()
        if host in self._session.silent or host not in hosts:
            return ()
        link = await self._session.connect(hosts[host], hosts)
        asked = [list(place) for place in places]
        reply = await link.link.call("source", app=app, places=asked)
        told = reply.header.get("places")
        return told if isinstance(told, list) else ()


def _parsed(line: int, told: object) -> Around:
    """Return what a host says of a line; nothing if it is not what an honest hand says."""
    match told:
        case [int(first), list(lines)] if all(isinstance(each, str) for each in lines):
            at = line - first
            if 0 <= at < len(lines):
                return tuple(lines[:at]), str(lines[at]), tuple(lines[at + 1 :])
    return _UNKNOWN
