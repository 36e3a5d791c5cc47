"""The controller's own health as samples: what it works on, what fails, how far its hosts are."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from steersman.api.signals import Happening, Sample, Signal, Span
from steersman.telemetry.hub import Hub

EVERY = 15.0
"""Seconds between two looks; what happens in between is counted."""
Labels = tuple[tuple[str, str], ...]


class Worker(Protocol):
    """Whoever reconciles: how often by kind, how often in vain, and which keys wait for it."""

    reconciles: Counter[str]
    errors: Counter[str]

    @property
    def waiting(self) -> tuple[str, ...]: ...


class Health:
    """Publishes figures of `worker` and the links, and of each rollout that `hear` is told of.

    `round_trips` returns the seconds that each connected host takes to answer.
    """

    def __init__(
        self,
        hub: Hub,
        worker: Worker,
        round_trips: Callable[[], dict[str, float]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hub, self._worker, self._clock = hub, worker, clock
        self._round_trips = round_trips
        self._counts: Counter[tuple[str, Labels]] = Counter()
        self._told: Counter[tuple[str, Labels]] = Counter()
        self._queued: set[str] = set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            for sample in self.samples():
                self._hub.publish(sample)
            await asyncio.sleep(EVERY)

    def hear(self, signal: Signal) -> None:
        """Count what is healed and how rollouts end; a sink of the hub."""
        if isinstance(signal, Happening) and signal.reason == "Healed":
            app, host = signal.origin.app, signal.origin.host
            self._counts["drift_healed_total", (("app", app), ("host", host))] += 1
        elif isinstance(signal, Span) and not signal.parent and signal.name.startswith("rollout "):
            app = signal.origin.app
            result = "deployed" if signal.is_ok else "failed"
            self._counts["rollouts_total", (("app", app), ("result", result))] += 1
            self._hub.publish(
                Sample(
                    time=signal.end,
                    name="steersman_rollout_seconds",
                    value=signal.end - signal.start,
                    labels={"app": app},
                )
            )

    def samples(self) -> Iterator[Sample]:
        """Yield what there is to say now; of a counter only what is new."""
        now = self._clock()
        for kind in self._worker.reconciles:
            for name in ("reconciles", "errors"):
                count: Counter[str] = getattr(self._worker, name)
                self._counts[f"controller_{name}_total", (("kind", kind),)] = count[kind]
        for key, value in self._counts.items():
            if key not in self._told:
                # A counter's 0 is of before: only then is what it counted since a growth.
                yield _sample(now - EVERY, *key, 0.0, is_counter=True)
            if value != self._told[key]:
                yield _sample(now, *key, value, is_counter=True)
            self._told[key] = value
        yield from self._queue(now)
        for host, seconds in self._round_trips().items():
            yield _sample(now, "link_round_trip_seconds", (("host", host),), seconds)

    def _queue(self, now: float) -> Iterator[Sample]:
        waiting = self._worker.waiting
        yield _sample(now, "controller_queue_depth", (), len(waiting))
        depths = Counter(app for key in waiting if (app := _app_of(key)))
        for app in depths.keys() | self._queued:
            yield _sample(now, "queue_depth", (("app", app),), depths[app])
        self._queued = {*depths}


def _app_of(key: str) -> str:
    kind, _, name = key.partition("/")
    return name.partition("@")[0] if kind in ("App", "Drift") else ""


def _sample(
    now: float, name: str, labels: Labels, value: float, *, is_counter: bool = False
) -> Sample:
    return Sample(
        time=now,
        name=f"steersman_{name}",
        value=float(value),
        labels=dict(labels),
        kind="counter" if is_counter else "gauge",
    )
