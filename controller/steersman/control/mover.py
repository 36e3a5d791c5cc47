"""Bring an app on one host somewhere: to a release, to the verge of it, or to nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from steersman.api.app import App
from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.control.converge import Plan, Unhealthy, converge, take_steps
from steersman.control.hosts import HostLink
from steersman.control.outcome import HostOutcome
from steersman.control.report import Reporter, Verdict
from steersman.control.target import Wanted, app_gone, app_target
from steersman.planning.app import beside, gate_of, plan_app, plan_boot, plan_prepare, plan_stop
from steersman.planning.retiring import plan_absent
from steersman.planning.seen import HostSeen
from steersman.planning.steps import Step
from steersman.planning.target import AppTarget

PlanTarget = Callable[[AppTarget, HostSeen], tuple[Step, ...]]


class OtherController(SteersmanError):
    """A host holds a release of the same number that is not ours."""

    def __init__(self, host: str, app: str, number: int) -> None:
        super().__init__(
            f"host {host}: another controller has released {number} of app {app} there meanwhile;"
            " run this again, and let one controller look after a host"
        )


class Mover:
    """Converges hosts and tells how each fared; a dry one only plans."""

    def __init__(self, report: Reporter, *, is_dry: bool) -> None:
        self._report = report
        self._is_dry = is_dry

    async def move(
        self, link: HostLink, wanted: Wanted, seen: HostSeen | None = None
    ) -> HostOutcome:
        """Bring a host to `wanted`, whatever is there; `seen` is what it was just seen to hold."""

        def plan(now: HostSeen) -> tuple[Step, ...]:
            if link.is_settled(wanted.app.name, wanted, now):
                return ()
            steps = plan_app(_target(link, wanted, now), now)
            if not steps:
                link.settle(wanted.app.name, wanted, now)
            return steps

        return await self._converge(link, wanted.app.name, plan, seen)

    async def prepare(self, link: HostLink, wanted: Wanted) -> HostOutcome:
        """Put a release on a host and start nothing of it."""
        return await self._quietly(link, wanted, plan_prepare)

    async def stop(self, link: HostLink, wanted: Wanted) -> HostOutcome:
        """Stop every release but `wanted`."""
        return await self._quietly(link, wanted, plan_stop)

    async def boot(self, link: HostLink, wanted: Wanted) -> HostOutcome:
        """Start a release beside the one that serves, and see it healthy."""
        started = await self._quietly(link, wanted, plan_boot)
        if started.error is not None:
            return started
        app = wanted.app.name
        try:
            target = beside(_target(link, wanted, await link.observe()))
            if target.processes:
                await take_steps(link, app, (gate_of(target),), self._report)
        except SteersmanError as error:
            return HostOutcome(link.name, verdict_of(error), error=error)
        return started

    async def remove(self, link: HostLink, app: App) -> HostOutcome:
        """Leave no trace of `app` on a host."""
        gone = app_gone(app, link.host.spec, link.facts)
        return await self._converge(
            link, app.name, lambda seen: plan_absent(gone, seen), done="removed"
        )

    async def _quietly(self, link: HostLink, wanted: Wanted, plan: PlanTarget) -> HostOutcome:
        """Converge to something on the way, which is no end of the host's part."""

        def steps_from(now: HostSeen) -> tuple[Step, ...]:
            return plan(_target(link, wanted, now), now)

        try:
            steps = (await converge(link, wanted.app.name, steps_from, self._report)).steps
        except OtherController:
            raise
        except SteersmanError as error:
            return HostOutcome(link.name, verdict_of(error), error=error)
        return HostOutcome(link.name, "converged" if steps else "unchanged", steps)

    async def _converge(
        self,
        link: HostLink,
        app: str,
        plan: Plan,
        seen: HostSeen | None = None,
        done: Verdict = "converged",
    ) -> HostOutcome:
        try:
            if self._is_dry:
                seen = seen if seen is not None else await link.observe()
                steps: Sequence[Step] = plan(seen)
            else:
                steps = (await converge(link, app, plan, self._report, seen)).steps
        except OtherController:
            raise
        except SteersmanError as error:
            verdict = verdict_of(error)
            self._report.host_ended(link.name, app, verdict, str(error))
            return HostOutcome(link.name, verdict, error=error)
        verdict = done if steps or done == "removed" else "unchanged"
        self._report.host_ended(link.name, app, verdict, "")
        return HostOutcome(link.name, verdict, tuple(steps), seen=seen if self._is_dry else None)


def _target(link: HostLink, wanted: Wanted, seen: HostSeen) -> AppTarget:
    if wanted.is_newest:
        number = wanted.release.spec.number
        for name in seen.app(wanted.app.name).releases:
            other = name.partition("-")[0]
            if other.isdigit() and int(other) >= number and name != wanted.release_name:
                raise OtherController(link.name, wanted.app.name, int(other))
    return app_target(wanted, link.host.spec, link.facts, seen)


def verdict_of(error: SteersmanError) -> Verdict:
    """Return what an error makes of a host's part in a rollout."""
    if isinstance(error, Unhealthy):
        return "rejected"
    return "unreachable" if isinstance(error, HostUnreachable) else "failed"
