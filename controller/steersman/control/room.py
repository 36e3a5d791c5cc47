"""Room on a host's disk, before and after an upload."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Protocol

from steersman.api.host import Host
from steersman.builds.footprint import PathOf, footprint
from steersman.planning.disk import NoRoom, Room, parse_room, shortage_of
from steersman.planning.seen import BadAnswer
from steersman.planning.steps import Upload
from steersman.transport.errors import ProtocolError
from steersman.transport.frames import Reply


class Changer(Protocol):
    """A host that steps are made on."""

    host: Host

    async def call(self, op: str, /, **args: Any) -> Reply: ...


async def make_room(
    link: Changer,
    step: Upload,
    missing: Collection[str],
    answer: Any,
    path_of: PathOf,
) -> None:
    """Raise NoRoom unless the build of `step` fits; garbage goes first if only then it does.

    `answer` is what the host said of its disk.
    """
    need = await asyncio.to_thread(footprint, step.manifest, missing, path_of)
    spec = link.host.spec
    if shortage_of(need, _room(link, answer), spec.disk.keep_free) is None:
        return
    swept = await link.call(step.garbage.op, **step.garbage.args)
    shortage = shortage_of(need, _room(link, swept.header.get("disk")), spec.disk.keep_free)
    if shortage is not None:
        await drop(link, step)
        raise NoRoom(link.host.name, spec.root, step.what, shortage)


async def drop(link: Changer, step: Upload) -> None:
    """Leave nothing behind of an upload that cannot be made."""
    await link.call(step.garbage.op, **step.garbage.args, dropped=list(step.blobs))


def _room(link: Changer, answer: Any) -> Room:
    try:
        return parse_room(answer)
    except BadAnswer as error:
        raise ProtocolError(link.host.name, str(error)) from error
