"""Sending a file to a host's store, going on where an earlier link was cut."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from steersman.transport.errors import BlobUnreadable, ProtocolError
from steersman.transport.frames import Reply

# As many bytes as this times that are under way at once, and in our memory.
_CHUNK = 256 * 1024
_AHEAD = 4


class Caller(Protocol):
    name: str

    def call(
        self, op: str, /, *, body: bytes = b"", timeout: float | None = None, **args: Any
    ) -> Coroutine[Any, Any, Reply]: ...


async def put_blob(link: Caller, sha256: str, path: Path, **args: Any) -> bool:
    """Store `path` on the host under its digest; return False when it had it already.

    The hand says how far an earlier attempt came (`put_begin`), takes chunks in order (`put`) and
    answers the last with `stored`, after it has checked the digest itself. `args`, such as the
    epoch, go with every request.
    """
    args |= {"sha256": sha256, "size": path.stat().st_size}
    begun = (await link.call("put_begin", **args)).header
    if begun.get("have") is True:
        return False
    offset = begun.get("offset", 0)
    if type(offset) is not int or not 0 <= offset <= args["size"]:
        raise ProtocolError(link.name, f"it claims to have an impossible part of {sha256}")
    with path.open("rb") as file:
        last = await _send_chunks(link, args, offset, file)
    if last.header.get("stored") is not True:
        raise ProtocolError(link.name, f"it took all of {sha256} and did not store it")
    return True


async def _send_chunks(link: Caller, args: dict[str, Any], offset: int, file: BinaryIO) -> Reply:
    size: int = args["size"]
    file.seek(offset)
    under_way: deque[asyncio.Task[Reply]] = deque()
    try:
        # An empty file, and one that arrived whole but was not stored, still need one chunk.
        while True:
            chunk = await asyncio.to_thread(file.read, min(_CHUNK, size - offset))
            if not chunk and offset < size:
                raise BlobUnreadable(link.name, file.name)
            put = link.call("put", body=chunk, offset=offset, **args)
            under_way.append(asyncio.create_task(put))
            offset += len(chunk)
            if offset == size:
                break
            if len(under_way) == _AHEAD:
                await under_way.popleft()
        *_, last = await asyncio.gather(*under_way)
        return last
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
