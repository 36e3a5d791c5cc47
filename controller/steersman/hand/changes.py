"""Telling a controller that keeps its link when this host is not as it was last seen."""

from __future__ import annotations

import select
import threading

from .systemd import CHANGES
from .watch import Folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List

    State = Dict[str, List[str]]

# Changes come in bursts: what happens within this time is told once.
GATHER = 0.01
# How long `stop` may go unseen, and how often units are asked for where nothing tells of them.
PATIENCE, POLL = 2.0, 0.25


def told(
    folders: "Callable[[], List[str]]", supervisor: Any, stop: threading.Event
) -> "Iterator[Dict[str, object]]":
    """Yield {"changed": False} once it listens, then {"changed": True} after each burst of changes.

    A controller that looks after each of them misses nothing. The watch has descriptors of its
    own: a look may forget what it has seen, and must not forget it for the watch. Raises OSError
    when the host cannot tell, for want of inotify instances or because systemd went away.
    """
    watch = Watch(folders, supervisor)
    try:
        yield {"changed": False}
        while not stop.is_set():
            if watch.wait():
                yield {"changed": True}
    finally:
        watch.close()


class Watch:
    """Waits for folders and units."""

    def __init__(self, folders: "Callable[[], List[str]]", supervisor: Any) -> None:
        self._folders = folders
        self._supervisor = supervisor
        self._events = Folders()
        self._signals = supervisor.signals()
        self._state: "State" = {} if self._signals is not None else supervisor.seen()
        self._events.watch(folders())

    def close(self) -> None:
        self._events.close()
        if self._signals is not None:
            self._signals.close()

    def wait(self) -> bool:
        """Return whether anything changed, after at most `PATIENCE`."""
        sources = [self._events.fileno()]
        if self._signals is not None:
            sources.append(self._signals.fileno())
        timeout = PATIENCE if self._signals is not None else POLL
        if select.select(sources, [], [], timeout)[0]:
            select.select([], [], [], GATHER)
        # Both are asked, so that both forget what is told now.
        quiet = all([self._events.quiet(), self._units_are_quiet()])
        if not quiet:
            # What came may be a folder that has to be watched as well.
            self._events.watch(self._folders())
        return not quiet

    def _units_are_quiet(self) -> bool:
        if self._signals is not None:
            return bool(self._signals.quiet(CHANGES))
        state, self._state = self._state, self._supervisor.seen()
        return state == self._state
