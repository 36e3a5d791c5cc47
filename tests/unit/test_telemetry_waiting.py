"""What waits to be shipped is bounded; the oldest goes first, and is counted."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from steersman.api.plugin import Buffer
from steersman.api.signals import ErrorReport, LogRecord, Origin, Signal, Span
from steersman.telemetry.waiting import Waiting, size_of
from steersman.testing.signals import signal


def line(number: int, text: str = "") -> LogRecord:
    return LogRecord(time=number, origin=Origin(), text=text)


def waiting(**buffer: Any) -> Waiting:
    made = Waiting(Buffer.model_validate(buffer))
    for number in range(10):
        made.put(line(number))
    return made


def times(signals: Sequence[Signal]) -> list[float]:
    return [each.time for each in signals if not isinstance(each, Span)]


def test_the_oldest_goes_when_there_are_too_many() -> None:
    queue = waiting(signals=4, batch=3)
    assert queue.dropped == 6
    assert times(queue.take()) == [6, 7, 8]
    assert times(queue.take()) == [9]
    assert queue.take() == []


def test_the_oldest_goes_when_they_are_too_large() -> None:
    queue = waiting(size=2 * size_of(line(0)) + 10)
    assert (len(queue), queue.dropped) == (2, 8)
    queue.put(line(11, "long " * 1000))
    assert (len(queue), queue.dropped) == (0, 11), "what is too large for itself finds no room"
    queue.put(line(12))
    assert times(queue.take()) == [12]


def test_what_was_taken_takes_no_room() -> None:
    queue = waiting(size=3 * size_of(line(0)), batch=3)
    queue.take()
    for number in (20, 21, 22):
        queue.put(line(number))
    assert times(queue.give_up()) == [20, 21, 22]
    assert len(queue) == 0


def test_an_error_is_as_large_as_what_it_carries() -> None:
    small = signal("errors", 1)
    assert isinstance(small, ErrorReport)
    large = replace(small, breadcrumbs=tuple(line(n, "x" * 1000) for n in range(50)))
    assert size_of(large) > 50_000 > size_of(small)
