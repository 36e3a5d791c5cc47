"""Runs `celery`, and holds a worker's TERM back until it is known which tasks have begun.

drivers/celery.py writes this file to hosts, where it runs with the app's own Python (3.8+) and
Celery. A task that was written to a child of the prefork pool begins there at once; until the
main process has read that it did, Celery takes it for one to give back, and with TERM in between
it runs twice. See controller/decisions/0023-term-waits-until-celery-knows.md.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Settling:
    """Between TERM and a worker's own answer to it: takes and begins nothing, then knows all.

    `stop` is that answer. Everything but `on_term` is called by the worker's loop. A second TERM,
    and a loop that has lost its broker, stop the worker as it would stop without this.
    """

    def __init__(self, consumer: Any, stop: Any) -> None:
        self._consumer = consumer
        self._stop = stop
        self._flush = consumer.pool.flush
        self._loops = self._told = self._cancelled = self._stopped = False

    def on_term(self, *_: Any) -> None:
        if self._told or not self._loops:
            self._end()
        self._told = True

    def on_tick(self) -> None:
        """Called before the loop waits for what comes next."""
        self._loops = True
        if self._told and not self._stopped and self._is_settled():
            from celery.worker.state import maybe_shutdown

            self._end()
            maybe_shutdown()  # now: in the rest of this turn another task could begin

    def on_flush(self) -> None:
        """Called when the pool forgets what has not begun: at the end, and with the broker gone."""
        self._loops = False
        if self._told:
            self._end()
        self._flush()

    def _is_settled(self) -> bool:
        try:
            self._hold_back()
            return not any(map(_is_unclear, self._consumer.pool._pool._cache.values()))
        except Exception as error:
            # A Celery unlike those that are known, or a broker that went: TERM means TERM.
            sys.stderr.write("steersman: TERM does not wait: %r\n" % error)
            return True

    def _hold_back(self) -> None:
        """Take nothing more from the broker, and write nothing more to children."""
        if not self._cancelled:
            self._cancelled = True
            self._consumer.task_consumer.cancel()
        if self._consumer.controller.semaphore is not None:
            self._consumer.controller.semaphore.clear()
        self._consumer.pool._pool.outbound_buffer.clear()

    def _end(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._stop(signal.SIGTERM, None)


def _is_unclear(job: Any) -> bool:
    """Whether a child may have begun a task that the main process does not know to have begun."""
    return not job._accepted and job._write_to is not None and job._write_to._is_alive()


def on_ready(sender: Any, **_: Any) -> None:
    """Celery's signal `worker_ready`: the sender is what consumes."""
    stop = signal.getsignal(signal.SIGTERM)
    # Only the prefork pool on a loop writes tasks ahead and forgets them.
    if not sender.hub or not hasattr(getattr(sender.pool, "_pool", None), "outbound_buffer"):
        return
    if callable(stop):
        settling = Settling(sender, stop)
        sender.pool.flush = settling.on_flush
        sender.hub.on_tick.add(settling.on_tick)
        signal.signal(signal.SIGTERM, settling.on_term)


def main() -> None:
    sys.path[0] = os.getcwd()  # as with `python -m celery`; not this file's folder
    from celery import maybe_patch_concurrency

    maybe_patch_concurrency()  # before anything else, as Celery's own entry point does
    from celery.__main__ import main as celery
    from celery.signals import worker_ready

    worker_ready.connect(on_ready)
    celery()


if __name__ == "__main__":
    main()
