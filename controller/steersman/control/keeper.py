"""The heart of a daemon: what is wanted, kept so, without anybody asking.

Level-triggered: whatever happens only says which key to look at again. `App/shop` is brought to
what its object says on all its hosts; `Drift/shop@h1` puts right what changed on one host, which
takes no other host's answer and no git server's.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import structlog

from steersman.api.errors import SteersmanError
from steersman.control.underway import Underway
from steersman.control.workqueue import WorkQueue

log = structlog.get_logger(__name__)

RESYNC = 300.0
"""Seconds after which every app is looked at even if nothing told of a change."""

# A host or a server that fails is not asked more often than this.
PATIENT = (1.0, 300.0)

Failed = Callable[[str, Exception], None]
"""Told of a key and of what its reconcile ended with."""
Reconcile = Callable[[str, bool], Awaitable[None]]
"""Bring the object of that name to what it says. True: it was asked for, by a person or a change
of what is wanted; False: only to see that it still is so. Raises what should be tried again."""


class Keeper:
    """Works on keys, each by the reconciler of its kind and never twice at a time."""

    def __init__(
        self,
        reconcilers: Mapping[str, Reconcile],
        *,
        jitter: Callable[[], float] = random.random,
        failed: Failed = lambda key, error: None,
    ) -> None:
        self._reconcilers = reconcilers
        self._failed = failed
        self._queue = WorkQueue(jitter)
        self._asked: set[str] = set()
        self.healths: dict[str, str] = {}
        """The error that each failing key ended with last; for whoever asks how it goes."""
        self.reconciles: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        """How many there were, by kind."""

    def wake(self, key: str, *, asked: bool = True, after: float = 0.0) -> None:
        """Have a key looked at soon, or `after` some seconds.

        What was not asked for does not hurry a key that failed: its own attempts cause changes.
        """
        if asked:
            self._asked.add(key)
        elif self._queue.is_put_off(key):
            return
        if after > 0:
            self._queue.add_after(key, after)
        else:
            self._queue.add(key)

    def drop(self, key: str) -> None:
        """Forget a key whose object is gone."""
        self._asked.discard(key)
        self.healths.pop(key, None)
        self._queue.drop(key)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The keys that wait for their turn."""
        return self._queue.waiting

    async def run(self) -> None:
        """Work until cancelled; what one key raises stops no other."""
        underway = Underway()
        async with asyncio.TaskGroup() as tasks:
            while True:
                await underway.room()
                key = await self._queue.get()
                underway.add(tasks.create_task(self._worked(key), name=key))

    async def _worked(self, key: str) -> None:
        kind, _, name = key.partition("/")
        asked = key in self._asked
        self._asked.discard(key)
        self.reconciles[kind] += 1
        try:
            await self._reconcilers[kind](name, asked)
        except SteersmanError as error:
            self._fail(key, asked, error, is_retryable=error.retryable)
        except Exception as error:
            log.exception("reconcile_crashed", key=key)
            self._fail(key, asked, error, is_retryable=True)
        else:
            self._queue.forget(key)
            self.healths.pop(key, None)
        finally:
            self._queue.done(key)

    def _fail(self, key: str, asked: bool, error: Exception, *, is_retryable: bool) -> None:
        self.healths[key] = str(error)
        self.errors[key.partition("/")[0]] += 1
        self._failed(key, error)
        if not is_retryable:
            log.warning("reconcile_ended", key=key, error=str(error))
            return
        if asked:
            self._asked.add(key)
        least, most = PATIENT
        seconds = self._queue.failed(key, most, least)
        log.warning("reconcile_failed", key=key, error=str(error), again_in=round(seconds, 1))
