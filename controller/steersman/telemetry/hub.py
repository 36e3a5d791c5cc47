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
        self._sinks: list[tuple[Sink, tuple[type[Signal], ...]]] = []
        self._by_type: dict[type[Signal], tuple[Sink, ...]] = {}

    @contextmanager
    def joined(self, sink: Sink, *types: type[Signal]) -> Iterator[None]:
        """Have `sink` given every signal (of these types) that is published while the body runs."""
        joining = sink, types
        self._sinks.append(joining)
        self._by_type.clear()
        try:
            yield
        finally:
            self._sinks.remove(joining)
            self._by_type.clear()

    def publish(self, signal: Signal) -> None:
        """Give a signal to everybody; one sink that fails takes it from no other."""
        for sink in self._by_type.get(type(signal)) or self._sinks_of(type(signal)):
            try:
                sink(signal)
            except Exception:
                log.exception("sink_failed", signal=type(signal).__name__)

    def _sinks_of(self, type_: type[Signal]) -> tuple[Sink, ...]:
        found = tuple(sink for sink, types in self._sinks if not types or type_ in types)
        self._by_type[type_] = found
        return found
