"""Plugins that misbehave, each in its own way; a type of its own for this benchmark alone."""

import asyncio
import time
from collections.abc import Sequence
from typing import ClassVar, Literal

from steersman.api.model import Model
from steersman.api.plugging import Plugin
from steersman.api.signals import Signal, SignalName


class Bad(Plugin):
    """Hangs, raises, or takes 1,000 times as long as a good one would."""

    takes: ClassVar[frozenset[SignalName]] = frozenset({"events", "logs"})

    class Config(Model):
        how: Literal["hangs", "raises", "is slow", "ships"]

    async def ship(self, batch: Sequence[Signal]) -> None:
        how = self.config.how
        if how == "hangs":
            await asyncio.to_thread(time.sleep, 1e6)
        if how == "raises":
            raise ValueError("it always does")
        # A good one takes about 10 us for each signal.
        time.sleep(len(batch) * (1e-2 if how == "is slow" else 1e-5))  # noqa: ASYNC251
