"""Where signals meet: whoever sees something publishes it, whoever cares joins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from steersman.api.signals import Signal

log = structlog.get_logger(__name__)

Sink = Callable[[Signal], None]
"""Takes a signal at once: it never waits, and keeps what takes time in a bounded queue."""


class Hub:
    """Passes each signal to every sink, in the order in which they joined."""

    def __init__(self) -> None:
        self._sinks: list[Sink] = []

    @contextmanager
    def joined(self, sink: Sink) -> Iterator[None]:
        """Have `sink` given every signal that is published while the body runs."""
        self._sinks.append(sink)
        try:
            yield
        finally:
            self._sinks.remove(sink)

    def publish(self, signal: Signal) -> None:
        """Give a signal to everybody; one sink that fails takes it from no other."""
        for sink in tuple(self._sinks):
            try:
                sink(signal)
            except Exception:
                log.exception("sink_failed", signal=type(signal).__name__)
