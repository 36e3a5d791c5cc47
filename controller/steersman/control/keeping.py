"""How the daemon looks after apps and their hosts: the reconcilers, and who wakes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog

from steersman.api.app import App
from steersman.api.errors import HostUnreachable
from steersman.api.host import Host
from steersman.api.meta import Condition, find_condition, set_condition
from steersman.control.admission import placed
from steersman.control.apply import Controller
from steersman.control.drift import Drift, Target, is_healed, said_of
from steersman.control.memory import NotFound
from steersman.control.outcome import Outcome, Rejected
from steersman.control.session import Session
from steersman.planning.steps import Step

log = structlog.get_logger(__name__)

SYNCED = "Synced"


def drift_key(app: str, host: str) -> str:
    return f"Drift/{app}@{host}"


class Apps:
    """Reconciles `App/NAME` and `Drift/APP@HOST`. `wake(key, asked=False)` looks again later."""

    def __init__(
        self, session: Session, controller: Controller, drift: Drift, wake: Callable[[str], None]
    ) -> None:
        self._controller = controller
        self._session = session
        self._memory = session.memory
        self._drift = drift
        self._wake = wake

    async def app(self, name: str, asked: bool) -> None:
        """Bring an app and its jobs to what they say, on all hosts."""
        await self._controller.busy.idle(name)
        try:
            app = await self._memory.app(name)
        except NotFound:
            return
        if not asked and not is_healed(app):
            await self._report_all(app)
            return
        work = self._controller.reconcile if asked else self._controller.keep
        outcome = await work(name)
        if not asked:
            await self._tell(outcome)
        self._raise_for(outcome)
        for job in await self._controller.jobs.reconcile(name):
            if job.error is not None:
                raise job.error

    def _raise_for(self, outcome: Outcome) -> None:
        """Raise what trying again can mend; a rejected release waits for something to change."""
        if outcome.error is not None and not isinstance(outcome.error, Rejected):
            raise outcome.error
        for host in outcome.hosts:
            # Whoever attends the host wakes this app when it is back.
            if host.error is not None and not isinstance(host.error, HostUnreachable):
                raise host.error

    async def drift(self, name: str, asked: bool) -> None:
        """Put right what changed of one app on one host."""
        app_name, _, host = name.partition("@")
        # A rollout that is at it causes changes, and ends with a look of its own.
        await self._controller.busy.idle(app_name)
        if host in self._session.silent:
            return  # when it is back, it is looked at again
        try:
            app, hosts = await self._memory.app(app_name), await self._memory.hosts()
        except NotFound:
            return
        if not is_healed(app):
            # One host says nothing of the others: they are told of together, in the app's turn.
            self._wake(app.key)
            return
        target = await self._target(app, hosts, host)
        if target is not None and await self._drift.look(target):
            await self._heal(app, target, host)

    async def _target(self, app: App, hosts: Mapping[str, Host], host: str) -> Target | None:
        if host not in hosts:
            return None
        target = await self._drift.target(app, hosts, host)
        if target is None and (host in app.status.hosts or host in placed(app, hosts)):
            self._wake(app.key)
        return target

    async def _heal(self, app: App, target: Target, host: str) -> None:
        async with self._controller.held(app.name):
            healed = await self._drift.heal(target)
        if healed.steps:
            await self._note_healed(app.name, host, healed.steps)
        if healed.error is not None:
            self._wake(app.key)
            raise healed.error

    async def _tell(self, outcome: Outcome) -> None:
        for host in outcome.hosts:
            if host.steps and host.verdict == "converged":
                await self._note_healed(outcome.app, host.host, host.steps)

    async def _note_healed(self, app: str, host: str, steps: tuple[Step, ...]) -> None:
        said = said_of(steps)
        log.info("drift_healed", app=app, host=host, steps=len(steps), did=said)
        await self._memory.note("App", app, "Healed", said, host)

    async def _report_all(self, app: App) -> None:
        outcome = (await self._controller.drift([app.name]))[0]
        if outcome.error is not None:
            raise outcome.error
        await self._report(app, {host.host: host.steps for host in outcome.hosts})

    async def _report(self, app: App, drifted: Mapping[str, tuple[Step, ...]]) -> None:
        """Say in the app's condition what is not as it should be, and change nothing."""
        told = {host: said_of(steps) for host, steps in drifted.items() if steps}
        known = find_condition(app.status.conditions, SYNCED)
        if not told and (known is None or known.status == "True"):
            return
        said = "; ".join(f"{host}: {text}" for host, text in sorted(told.items()))
        condition = Condition(
            type=SYNCED,
            status="False" if told else "True",
            reason="OutOfSync" if told else "InSync",
            message=said,
            last_transition_time=datetime.now(UTC),
            observed_generation=app.metadata.generation,
        )
        if known is not None and (known.status, known.message) == (condition.status, said):
            return
        conditions = set_condition(app.status.conditions, condition)
        status = app.status.model_copy(update={"conditions": conditions})
        await self._memory.set_app_status(app, status)
        if told:
            log.info("drift_reported", app=app.name, seen=said)
            await self._memory.note("App", app.name, "OutOfSync", said, type_="Warning")
