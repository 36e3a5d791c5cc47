"""Sending a file to a host's store, going on where an earlier link was cut."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from steersman.transport.errors import BlobUnreadable, ProtocolError
from steersman.transport.frames import MAX_BODY, Reply

# As many bytes as this times that are under way at once, and in our memory.
_CHUNK = 256 * 1024
_AHEAD = 4
# Blobs up to this size travel together: a request of its own would cost more than they do.
SMALL = 64 * 1024


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


def batches(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Split blobs (by size) into what goes in one request each: small ones in company."""
    batch: list[str] = []
    filled = 0
    for sha256, size in sorted(sizes.items()):
        if size > SMALL:
            yield [sha256]
            continue
        if filled + size > MAX_BODY:
            yield batch
            batch, filled = [], 0
        batch.append(sha256)
        filled += size
    if batch:
        yield batch


async def put_blobs(link: Caller, paths: Mapping[str, Path], **args: Any) -> None:
    """Store small files on the host under their digests, in one request."""
    bodies = {sha256: await asyncio.to_thread(path.read_bytes) for sha256, path in paths.items()}
    listed = [[sha256, len(body)] for sha256, body in bodies.items()]
    await link.call("put_all", body=b"".join(bodies.values()), blobs=listed, **args)


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
