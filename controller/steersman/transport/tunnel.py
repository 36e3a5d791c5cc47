"""A Unix socket here that leads to one on another machine, over SSH."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from steersman.transport import ssh
from steersman.transport.target import Target


@asynccontextmanager
async def tunnelled(
    target: Target, here: str, there: str | None, *, trust_files: Sequence[Path] = ()
) -> AsyncIterator[None]:
    """Have connections to the path `here` come out at the path `there`, until the block ends.

    `there` None is the socket of the daemon of the user who logs in. Raises what `ssh.connect`
    raises.
    """
    connection = await ssh.connect(target, trust_files=trust_files)
    try:
        path = there if there is not None else await connection.state_socket()
        async with connection.forwarded(here, path):
            yield
    finally:
        await connection.close()
