"""How much one asker may ask: buckets that refill, and bodies of a bounded size."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Message, Receive

from steersman.server.status import ApiError

# Whoever asked so long ago has a full bucket anyway.
MOST_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one subject may ask for; peers that are admin by their uid are not limited in rate.

    `rate` and `burst` are requests (a second), `failures` wrong tokens of one id from one address
    before the next waits for `failure_pause` seconds; bodies are in bytes, waits in seconds.
    """

    rate: float = 50.0
    burst: int = 200
    failures: int = 10
    failure_pause: float = 5.0
    streams: int = 100
    body: int = 8 * 1024 * 1024
    body_wait: float = 30.0
    alive_every: float = 5.0


class Buckets:
    """Token buckets by key: `capacity` at once, and `rate` more a second."""

    def __init__(
        self, capacity: float, rate: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity = capacity
        self._rate = rate
        self._clock = clock
        self._left: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def wait(self, key: object) -> float:
        """Return in how many seconds `key` may take one, 0 if now."""
        missing = 1 - self._now(key)
        return max(0.0, missing / self._rate)

    def take(self, key: object) -> None:
        """Take one, whether it is there or not."""
        left = max(0.0, self._now(key) - 1)
        self._left[key] = left, self._clock()
        self._left.move_to_end(key)
        while len(self._left) > MOST_BUCKETS:
            self._left.popitem(last=False)

    def _now(self, key: object) -> float:
        left, at = self._left.get(key, (self._capacity, self._clock()))
        return min(self._capacity, left + (self._clock() - at) * self._rate)


def too_many(wait: float, what: str) -> ApiError:
    """Return the refusal of whoever asks too often."""
    seconds = max(1, round(wait + 0.5))
    return ApiError(
        429, f"too many {what}; try again in {seconds} s", headers={"Retry-After": str(seconds)}
    )


class BoundedBody:
    """A `receive` that raises ApiError when a body is too long, or comes too slowly."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._seen = 0
        self._is_over = False

    async def __call__(self) -> Message:
        if self._is_over:
            return await self._receive()
        try:
            async with asyncio.timeout(self._limits.body_wait):
                message = await self._receive()
        except TimeoutError:
            raise ApiError(
                408,
                f"the body did not come within {self._limits.body_wait:g} s; send it again",
                reason="Timeout",
            ) from None
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            self._is_over = not message.get("more_body", False)
            self.check(self._seen)
        return message

    def check(self, size: int) -> None:
        """Raise ApiError for a body that is, or says it is, of this size."""
        if size > self._limits.body:
            raise ApiError(
                413, f"the body is larger than {self._limits.body} bytes; send less at once"
            )
