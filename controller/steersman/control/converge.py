"""Bring one app on one host to its target: observe, plan, apply, look again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.control.hosts import HostLink
from steersman.control.report import Reporter
from steersman.planning.seen import HostSeen
from steersman.planning.steps import Step
from steersman.transport.errors import HandError

Plan = Callable[[HostSeen], Sequence[Step]]

# What a plan leaves after two passes is not going to go away by a third.
PASSES = 3

LAST_LINES = "; its last lines:"
# A link that breaks again and again is a host to be reported, not to be fought for.
REOPENS = 3


class Unhealthy(SteersmanError):
    """The new generation is not fit to serve; `logs` are the app's last lines."""

    def __init__(self, host: str, app: str, why: str, logs: Sequence[str]) -> None:
        said = "".join(f"\n    {line}" for line in logs) or " (it wrote nothing)"
        super().__init__(f"{app} on {host}: {why}{LAST_LINES}{said}")
        self.host = host
        self.why = why
        self.logs = tuple(logs)


class StepFailed(SteersmanError):
    """A step could not be made; what was done before it stands, and applying again goes on."""

    def __init__(self, host: str, step: Step, why: str) -> None:
        super().__init__(
            f"host {host}: could not {step.text}: {why}; nothing was switched half-way: "
            "mend the cause and apply again"
        )


class DoesNotSettle(SteersmanError):
    """The host keeps differing from its target although every step succeeded."""

    def __init__(self, host: str, app: str, steps: Sequence[Step]) -> None:
        left = "; ".join(f"{step.text} ({step.why})" for step in steps[:3])
        super().__init__(
            f"{app} on {host} does not settle, this keeps coming back: {left}; "
            "does something else manage these?"
        )


@dataclass(frozen=True, slots=True)
class Converged:
    """What it took; no steps means that there was nothing to do."""

    seen: HostSeen
    steps: tuple[Step, ...] = field(default=())


async def converge(
    host: HostLink, app: str, plan: Plan, report: Reporter, seen: HostSeen | None = None
) -> Converged:
    """Apply `plan` of what is seen until nothing is left of it.

    `seen` spares the first look when the host was just looked at. Raises Unhealthy when a
    generation fails its gate or soak, StepFailed, DoesNotSettle, or the link's own errors.
    """
    done: list[Step] = []
    steps: tuple[Step, ...] = ()
    passes, reopened = 0, 0
    while passes < PASSES:
        try:
            now = seen if seen is not None else await host.observe()
            seen = None
            steps = tuple(plan(now))
            if not steps:
                return Converged(now, tuple(done))
            if not host.is_claimed_for(app):
                # Whoever changed the host until now may have changed what was just seen.
                await host.claim(app)
                continue
            await take_steps(host, app, steps, report)
            done += steps
            passes += 1
        except HostUnreachable:
            # Every step can be made again, and what was done is seen: go on where it broke off.
            reopened += 1
            if reopened > REOPENS:
                raise
            await host.reopen()
    raise DoesNotSettle(host.name, app, steps)


async def take_steps(host: HostLink, app: str, steps: Sequence[Step], report: Reporter) -> None:
    """Make the steps in order; raises Unhealthy, StepFailed, or the link's own errors."""
    for number, step in enumerate(steps, 1):
        try:
            await host.apply(app, step, number, len(steps), report)
        except HandError as error:
            if error.kind == "unhealthy":
                logs = [str(line) for line in error.detail.get("logs", ())]
                raise Unhealthy(host.name, app, error.message, logs) from error
            if error.kind in ("stale", "busy"):
                raise
            raise StepFailed(host.name, step, error.message) from error
