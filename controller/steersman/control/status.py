"""What is remembered of an app after its hosts were converged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from steersman.api.app import App, AppStatus, ProcessStatus
from steersman.api.host import Host
from steersman.api.meta import READY, Condition, set_condition
from steersman.control.admission import placed
from steersman.control.converge import LAST_LINES, Unhealthy
from steersman.control.memory import Memory
from steersman.control.outcome import Outcome, Overtaken, Rejected
from steersman.control.release import counts_of


async def remember(memory: Memory, app: App, hosts: Mapping[str, Host], outcome: Outcome) -> None:
    """Remember how an app fared, and why hosts failed it."""
    status = app_status(app, hosts, outcome, datetime.now(UTC))
    if status != app.status:
        await memory.set_app_status(app, status)
    for host in outcome.hosts:
        if host.error is not None and not isinstance(host.error, Unhealthy):
            text = str(host.error)
            await memory.note("App", app.name, "HostFailed", text, host.host, "Warning")


def app_status(app: App, hosts: Mapping[str, Host], outcome: Outcome, now: datetime) -> AppStatus:
    """Return the status after `outcome`: where the app is, what serves, and whether it is well."""
    there = {h.host for h in outcome.hosts if h.verdict in ("converged", "unchanged", "rejected")}
    # Until a host says otherwise, it may hold the app: it is not forgotten.
    unsure = {h.host for h in outcome.hosts if h.verdict in ("failed", "unreachable")}
    # A rollout that was cancelled may have come to any of them.
    new = {*placed(app, hosts)} if isinstance(outcome.error, Overtaken) else set()
    release = outcome.release
    serving, commit = app.status.release, app.status.commit
    is_out = outcome.error is None and outcome.halted is None
    if release is not None and is_out and there:
        serving, commit = release.spec.number, release.spec.commit
    running = dict(release.spec.template.processes) if release is not None else {}
    removed = {h.host for h in outcome.hosts if h.verdict == "removed"}
    left = {name for name in app.status.hosts if name in hosts} - there - removed
    return AppStatus(
        observed_generation=app.metadata.generation,
        conditions=set_condition(app.status.conditions, _ready(app, outcome, now)),
        release=serving,
        latest_release=release.spec.number if release is not None else app.status.latest_release,
        commit=commit,
        hosts=tuple(sorted(there | left | new | (unsure & {*placed(app, hosts)}))),
        processes=(
            *(
                ProcessStatus(
                    host=host, process=process, release=serving, desired=count, ready=count
                )
                for host in sorted(there)
                for process, count in counts_of(app, running, outcome.shares.get(host, {})).items()
            ),
            # What a host was last told holds until it is told otherwise: shares build on it.
            *(
                each.model_copy(update={"ready": 0 if each.host in unsure else each.ready})
                for each in app.status.processes
                if each.host in left
            ),
        )
        if serving
        else (),
    )


def without(app: App, host: str) -> AppStatus:
    """Return the status of an app that a host holds nothing of any more."""
    left = {
        "hosts": tuple(name for name in app.status.hosts if name != host),
        "processes": tuple(each for each in app.status.processes if each.host != host),
    }
    return app.status.model_copy(update=left)


def _ready(app: App, outcome: Outcome, now: datetime) -> Condition:
    error = outcome.error or next((h.error for h in outcome.hosts if h.error is not None), None)
    if isinstance(error, Rejected):
        reason = "ReleaseRejected"
    elif isinstance(error, Overtaken):
        reason = "Overtaken"
    elif error is not None:
        reason = "HostsFailed"
    else:
        reason = "Deployed" if outcome.halted is None else "RolloutPaused"
    message = outcome.halted or "" if error is None else first_sentence(str(error))
    return Condition(
        type=READY,
        status="True" if reason == "Deployed" else "False",
        reason=reason,
        message=message,
        last_transition_time=now,
        observed_generation=app.metadata.generation,
    )


def first_sentence(text: str) -> str:
    """Return the first line of an error, without the announcement of lines that follow it."""
    return text.split("\n", 1)[0].removesuffix(LAST_LINES)
