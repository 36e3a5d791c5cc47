"""Following the store for as long as somebody lives, whatever comes in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from steersman.store.errors import Compacted

log = structlog.get_logger(__name__)


async def ever_anew(
    follow: Callable[[], Awaitable[None]], by: str, failed: str, rest: float
) -> None:
    """Have `follow` begin from the store as it is, each time that it ends, until cancelled.

    At once where it was too slow to be told of all; after `rest` seconds where it failed, which is
    logged as the event `failed`.
    """
    while True:
        try:
            await follow()
        except Compacted:
            log.warning("store_followed_anew", by=by)
        except Exception:
            log.exception(failed)
            await asyncio.sleep(rest)
