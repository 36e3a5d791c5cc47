"""The links that are open: one for each host, made on demand, few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from steersman.transport.link import Link
from steersman.transport.target import Target

# Each costs 10 ms of our CPU and waits for forks on its host: 40 at once took 2.0 s where 8 took
# 2.6 s. A jump host has to take them all by itself, and sshd's MaxStartups begins to refuse at 10.
HANDSHAKES = 32
JUMPING_HANDSHAKES = 8


class LinkPool:
    """Shares links between whoever needs them.

    `open_link` makes one; it is called once for however many ask at the same time.
    """

    def __init__(
        self, open_link: Callable[[Target], Awaitable[Link]], *, handshakes: int = HANDSHAKES
    ) -> None:
        self._open_link = open_link
        self._slots = asyncio.Semaphore(handshakes)
        self._jump_slots = asyncio.Semaphore(min(handshakes, JUMPING_HANDSHAKES))
        self._links: dict[str, tuple[Target, asyncio.Task[Link]]] = {}

    async def get(self, target: Target) -> Link:
        """Return the live link to `target`, opened now if need be.

        A link that was lost, whose opening failed or whose target has changed is replaced.
        """
        known = self._links.get(target.name)
        if known is not None and not _is_usable(target, *known):
            await self.drop(target.name)
        if target.name not in self._links:
            self._links[target.name] = target, asyncio.create_task(self._open(target))
        # Shielded: one asker that gives up must not take the link from the others.
        return await asyncio.shield(self._links[target.name][1])

    async def drop(self, name: str) -> None:
        """Close the link to the host `name`, if there is one."""
        if (known := self._links.pop(name, None)) is not None:
            await _discard(known[1])

    async def close_all(self) -> None:
        links, self._links = self._links, {}
        await asyncio.gather(*(_discard(opening) for _, opening in links.values()))

    async def _open(self, target: Target) -> Link:
        async with self._slots if target.jump is None else self._jump_slots:
            return await self._open_link(target)


def _is_usable(target: Target, known: Target, opening: asyncio.Task[Link]) -> bool:
    if known != target:
        return False
    if not opening.done():
        return True
    return not opening.cancelled() and opening.exception() is None and opening.result().is_alive


async def _discard(opening: asyncio.Task[Link]) -> None:
    opening.cancel()
    (outcome,) = await asyncio.gather(opening, return_exceptions=True)
    if isinstance(outcome, Link):
        await outcome.close()
