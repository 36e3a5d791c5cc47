"""One reporter for a whole daemon: each call is heard by whoever asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from steersman.control.report import Reporter, Verdict
from steersman.planning.steps import Step

_LISTENERS: ContextVar[tuple[Reporter, ...]] = ContextVar("listeners", default=())


class Relay:
    """A Reporter that passes everything on to the listeners of the present task.

    Tasks inherit their maker's context, so what a call starts is heard where the call was made,
    and two calls at the same time do not hear each other. What control does of its own accord is
    heard by whoever listens around it, such as a log.
    """

    @contextmanager
    def listening(self, listener: Reporter) -> Iterator[None]:
        """Let `listener` hear what this task, and the tasks it makes, report meanwhile."""
        token = _LISTENERS.set((*_LISTENERS.get(), listener))
        try:
            yield
        finally:
            _LISTENERS.reset(token)

    def object_changed(self, key: str, change: str) -> None:
        for each in _LISTENERS.get():
            each.object_changed(key, change)

    def said(self, subject: str, text: str) -> None:
        for each in _LISTENERS.get():
            each.said(subject, text)

    def step_began(self, host: str, app: str, step: Step, number: int, of: int) -> None:
        for each in _LISTENERS.get():
            each.step_began(host, app, step, number, of)

    def step_ended(self, host: str, app: str, step: Step, seconds: float) -> None:
        for each in _LISTENERS.get():
            each.step_ended(host, app, step, seconds)

    def host_ended(self, host: str, app: str, verdict: Verdict, detail: str) -> None:
        for each in _LISTENERS.get():
            each.host_ended(host, app, verdict, detail)
