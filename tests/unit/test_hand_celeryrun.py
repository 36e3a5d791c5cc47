"""A worker's TERM waits until it is known which tasks have begun, and for nothing else.

The pool and the loop are stand-ins here; tests/acceptance/test_workers.py has Celery's own.
"""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from steersman.hand import celeryrun


class Worker:
    """A consumer with a prefork pool on a loop; `said` is what became of it, in order."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.jobs: dict[int, Any] = {}
        self.hub = SimpleNamespace(on_tick=set())
        self.controller = SimpleNamespace(semaphore=SimpleNamespace(clear=self._say("semaphore")))
        self.task_consumer = SimpleNamespace(cancel=self._say("cancelled"))
        prefork = SimpleNamespace(outbound_buffer=deque(["unwritten"]), _cache=self.jobs)
        self.pool = SimpleNamespace(_pool=prefork, flush=self._say("flushed"))

    def _say(self, word: str) -> Any:
        return lambda *_: self.said.append(word)

    def hand_out(self, number: int, *, is_alive: bool = True) -> Any:
        """Write a task to a child; nobody has heard yet that it began."""
        child = SimpleNamespace(_is_alive=lambda: is_alive)
        self.jobs[number] = SimpleNamespace(_accepted=False, _write_to=child)
        return self.jobs[number]

    def tick(self) -> None:
        for each in self.hub.on_tick:
            each()

    def term(self) -> None:
        signal.raise_signal(signal.SIGTERM)

    @property
    def is_stopped(self) -> bool:
        return "stopped" in self.said


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """Return a worker that is ready and turns its loop."""
    made = Worker()
    state = ModuleType("celery.worker.state")
    state.maybe_shutdown = made._say("left the loop")  # type: ignore[attr-defined]
    for name, module in (("celery", ModuleType("c")), ("celery.worker", ModuleType("w"))):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "celery.worker.state", state)
    before = signal.signal(signal.SIGTERM, made._say("stopped"))
    celeryrun.on_ready(made)
    made.tick()
    yield made
    signal.signal(signal.SIGTERM, before)


def test_a_worker_stops_at_once_when_nothing_is_unclear(worker: Worker) -> None:
    worker.hand_out(1)._accepted = True
    worker.jobs[2] = SimpleNamespace(_accepted=False, _write_to=None)
    worker.hand_out(3, is_alive=False)
    worker.term()
    worker.tick()
    assert worker.said == ["cancelled", "semaphore", "stopped", "left the loop"]


def test_a_task_that_may_have_begun_is_waited_for(worker: Worker) -> None:
    job = worker.hand_out(1)
    worker.term()
    worker.tick()
    worker.pool._pool.outbound_buffer.append("came late")
    worker.tick()
    assert not worker.is_stopped
    assert not worker.pool._pool.outbound_buffer, "more could begin meanwhile"
    assert worker.said.count("cancelled") == 1
    job._accepted = True
    worker.tick()
    assert worker.said[-2:] == ["stopped", "left the loop"]


def test_a_second_term_waits_for_nothing(worker: Worker) -> None:
    worker.hand_out(1)
    worker.term()
    worker.tick()
    worker.term()
    assert worker.is_stopped


def test_a_worker_that_loses_its_broker_stops_as_ever(worker: Worker) -> None:
    worker.hand_out(1)
    worker.term()
    worker.pool.flush()
    assert worker.said == ["stopped", "flushed"]


def test_a_worker_without_its_broker_stops_as_ever(worker: Worker) -> None:
    worker.pool.flush()
    worker.term()
    assert worker.said == ["flushed", "stopped"]


def test_it_stops_once(worker: Worker) -> None:
    worker.term()
    worker.tick()
    worker.tick()
    worker.pool.flush()
    assert worker.said.count("stopped") == 1


def test_a_celery_of_another_make_stops_as_ever(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    worker.jobs[1] = SimpleNamespace()
    worker.term()
    worker.tick()
    assert worker.is_stopped
    assert "steersman: TERM does not wait: AttributeError" in capsys.readouterr().err


@pytest.mark.parametrize("lacks", ["loop", "prefork"])
def test_other_pools_keep_their_own_stop(lacks: str) -> None:
    made = Worker()
    if lacks == "loop":
        made.hub = None  # type: ignore[assignment]
    else:
        del made.pool._pool.outbound_buffer
    before = signal.getsignal(signal.SIGTERM)
    celeryrun.on_ready(made)
    assert signal.getsignal(signal.SIGTERM) is before
