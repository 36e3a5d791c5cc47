"""A rollout as one trace: the app's, its hosts', and each step on them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from steersman.api.mask import Masks
from steersman.api.signals import Happening, Origin, Scalar, Signal, Span
from steersman.control.report import Verdict
from steersman.planning.steps import Step
from steersman.telemetry.hub import Hub

QUIET = 2.0
"""Seconds without a step after which what goes on on an app's hosts has come to its end."""
LONGEST_QUIET = 900.0
"""Seconds after which that is believed although nobody has said so, as in a canary's pause."""
_ENDS = {
    "Deployed": ("rollout", True),
    "ReleaseRejected": ("rollout", False),
    "RolloutAborted": ("rollout", False),
    "Healed": ("heal", True),
}
_MOST_TEXT = 500


@dataclass
class _Host:
    """A host that is being changed: when that began, and what is being done."""

    id: str
    start: float
    step: tuple[Step, float] | None = None
    count: int = 0


@dataclass
class _Trace:
    """What goes on of an app."""

    start: float
    trace: str = field(default_factory=lambda: secrets.token_hex(16))
    root: str = field(default_factory=lambda: secrets.token_hex(8))
    hosts: dict[str, _Host] = field(default_factory=dict)
    end: float = 0.0
    name: str = "changes"
    is_ok: bool = True
    message: str = ""
    origin: Origin = field(default_factory=Origin)
    timer: asyncio.TimerHandle | None = None


class Tracer:
    """A Reporter that makes spans of what it hears; `hear` is told the signals of the same hub."""

    def __init__(
        self, hub: Hub, masks: Masks, quiet: float = QUIET, clock: Callable[[], float] = time.time
    ) -> None:
        self._hub, self._masks, self._quiet, self._clock = hub, masks, quiet, clock
        self._open: dict[str, _Trace] = {}

    def object_changed(self, key: str, change: str) -> None: ...

    def said(self, subject: str, text: str) -> None: ...

    def step_began(self, host: str, app: str, step: Step, number: int, of: int) -> None:
        at = self._host(app, host)
        at.step = step, self._clock()
        self._rest(app)

    def step_ended(self, host: str, app: str, step: Step, seconds: float) -> None:
        trace, at, now = self._trace(app), self._host(app, host), self._clock()
        at.step, at.count = None, at.count + 1
        self._step(trace, host, app, at, step, now - seconds, now, is_ok=True)
        self._rest(app)

    def host_ended(self, host: str, app: str, verdict: Verdict, detail: str) -> None:
        trace = self._open.get(app)
        at = trace.hosts.pop(host, None) if trace is not None else None
        if trace is None or at is None:
            return
        now, is_ok = self._clock(), verdict in ("unchanged", "converged", "removed")
        if at.step is not None:
            self._step(trace, host, app, at, at.step[0], at.step[1], now, is_ok=False)
        trace.end = now
        trace.is_ok = trace.is_ok and is_ok
        about: dict[str, Scalar] = {"verdict": verdict, "steps": at.count}
        if detail and not is_ok:
            about["message"] = self._masks.text(detail)[:_MOST_TEXT]
        origin = Origin(app=app, host=host)
        self._hub.publish(
            Span(
                trace=trace.trace, id=at.id, parent=trace.root, name=f"{host} {verdict}",
                start=at.start, end=now, is_ok=is_ok, origin=origin, attributes=about,
            )
        )  # fmt: skip
        self._rest(app)

    def hear(self, signal: Signal) -> None:
        """Learn from an event what a trace was about; a sink of the hub."""
        if not isinstance(signal, Happening) or signal.reason not in _ENDS:
            return
        if signal.reason == "Healed":
            # Of a single host, nobody says that it has ended.
            self.host_ended(signal.origin.host, signal.origin.app, "converged", "")
        trace = self._open.get(signal.origin.app)
        if trace is not None:
            trace.name, is_ok = _ENDS[signal.reason]
            trace.is_ok = trace.is_ok and is_ok
            trace.message, trace.origin = signal.message, signal.origin
            trace.end = max(trace.end, signal.time)
            self._rest(signal.origin.app)

    def _trace(self, app: str) -> _Trace:
        if app not in self._open:
            self._open[app] = _Trace(self._clock(), origin=Origin(app=app))
        return self._open[app]

    def _host(self, app: str, host: str) -> _Host:
        hosts = self._trace(app).hosts
        if host not in hosts:
            hosts[host] = _Host(secrets.token_hex(8), self._clock())
        return hosts[host]

    def _step(
        self,
        trace: _Trace,
        host: str,
        app: str,
        at: _Host,
        step: Step,
        start: float,
        end: float,
        *,
        is_ok: bool,
    ) -> None:
        origin, about = Origin(app=app, host=host), {"why": self._masks.text(step.why)}
        self._hub.publish(
            Span(
                trace=trace.trace, id=secrets.token_hex(8), parent=at.id,
                name=self._masks.text(step.text), start=start, end=end, is_ok=is_ok,
                origin=origin, attributes=about,
            )
        )  # fmt: skip

    def _rest(self, app: str) -> None:
        """End the trace of an app when nothing more of it is heard for a while."""
        trace = self._trace(app)
        if trace.timer is not None:
            trace.timer.cancel()
        seconds = LONGEST_QUIET if trace.hosts or not trace.message else self._quiet
        trace.timer = asyncio.get_running_loop().call_later(seconds, self._end, app)

    def _end(self, app: str) -> None:
        trace = self._open.pop(app)
        if trace.timer is not None:
            trace.timer.cancel()
        about: dict[str, Scalar] = {"message": trace.message} if trace.message else {}
        release = f" {trace.origin.release}" if trace.origin.release else ""
        self._hub.publish(
            Span(
                trace=trace.trace, id=trace.root, name=f"{trace.name} {app}{release}",
                start=trace.start, end=trace.end or self._clock(), is_ok=trace.is_ok,
                origin=trace.origin, attributes=about,
            )
        )  # fmt: skip
