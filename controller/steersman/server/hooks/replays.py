"""Which deliveries came before: remembered for a week, across restarts, and never without end."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from steersman.api.meta import API_VERSION
from steersman.store.protocol import Store

KIND = "Deliveries"
"""The kind under which the store keeps what is remembered, an object for each hook."""
WEEK = 7 * 86400.0
MOST = 1000


class Replays:
    """Remembers deliveries by their digests; `clock` is in seconds since 1970."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._seen: dict[str, dict[str, float]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def is_new(self, hook: str, digest: str) -> bool:
        """Return whether a delivery did not come before, and remember that it came."""
        async with self._turns[hook]:
            seen = self._seen.get(hook)
            if seen is None:
                seen = self._seen[hook] = await self._load(hook)
            now = self._clock()
            if seen.get(digest, 0.0) > now:
                return False
            kept = {name: until for name, until in seen.items() if until > now}
            # The oldest come first: what is added stands last.
            kept = dict(list(kept.items())[1 - MOST :])
            kept.pop(digest, None)
            kept[digest] = now + WEEK
            await self._store.put_status(KIND, hook, {"seen": list(map(list, kept.items()))})
            self._seen[hook] = kept
            return True

    async def _load(self, hook: str) -> dict[str, float]:
        bare = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": hook}, "spec": {}}
        stored = await self._store.put(bare)
        return {digest: float(until) for digest, until in stored.status.get("seen", ())}
