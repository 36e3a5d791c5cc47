"""How apps fared, said at the end: a line for each, and the reasons where it went wrong."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from steersman.api.errors import SteersmanError
from steersman.api.meta import is_true
from steersman.cli.progress import Lines
from steersman.control.outcome import Outcome, Rejected

if TYPE_CHECKING:
    from steersman.api.job import JobStatus
    from steersman.control.jobs import JobOutcome


class NotAsWanted(SteersmanError):
    """Some hosts are not as the app wants them; why was said when they ended."""

    def __init__(self, outcome: Outcome) -> None:
        hosts = ", ".join(host.host for host in outcome.hosts if host.error is not None)
        super().__init__(
            f"app {outcome.app} is not as wanted on {hosts};"
            " mend what is said above, then run this again"
        )


def conclude(
    outcomes: Sequence[Outcome],
    report: Lines,
    jobs: "Sequence[JobOutcome]" = (),
    more: Sequence[SteersmanError] = (),
) -> None:
    """Print a line for what is well; raise an ExceptionGroup of what is wrong, and of `more`."""
    for outcome in outcomes:
        if outcome.is_good:
            click.echo(f"app/{outcome.app}: {_summary(outcome)} ({report.seconds:.1f}s)")
    for job in jobs:
        if job.error is None:
            click.echo(f"job/{job.job}: {_job_summary(job.status)}")
    # One host's fault may be that of many jobs.
    faults = {str(fault): fault for job in jobs for fault in _job_faults(job, report.told)}
    raise_faults(outcomes, report.told, (*faults.values(), *more))


def _job_faults(outcome: "JobOutcome", told: Collection[str]) -> Iterator[SteersmanError]:
    if outcome.error is None:
        return
    if str(outcome.error) not in told:
        yield outcome.error
    else:
        yield SteersmanError(
            f"job {outcome.job} is not as wanted; mend what is said above, then run this again"
        )


def _job_summary(status: "JobStatus") -> str:
    where = f"on {', '.join(status.hosts)}"
    if status.next_run is not None:
        return f"{where}, next run {status.next_run.isoformat(timespec='seconds')}"
    known = ("Complete", "Failed")
    ended = next((type_ for type_ in known if is_true(status.conditions, type_)), None)
    if ended is not None:
        return f"{ended.lower()} {where}"
    # A schedule has no next run while one goes on: systemd plans it from that one's end.
    is_running = any(run.is_live for run in status.runs)
    return f"{where}, runs now" if is_running else f"{where}, nothing runs it"


def raise_faults(
    outcomes: Iterable[Outcome], told: Iterable[str] = (), more: Iterable[SteersmanError] = ()
) -> None:
    """Raise an ExceptionGroup of what is wrong, if anything is."""
    faults = [fault for outcome in outcomes for fault in _faults(outcome, frozenset(told))]
    faults += more
    if faults:
        raise ExceptionGroup("not as wanted", faults)


def _faults(outcome: Outcome, told: frozenset[str]) -> Iterator[SteersmanError]:
    if outcome.error is not None:
        yield outcome.error
    of_hosts = [host.error for host in outcome.hosts if host.error is not None]
    yield from (error for error in of_hosts if str(error) not in told)
    if outcome.error is None and of_hosts and all(str(error) in told for error in of_hosts):
        yield NotAsWanted(outcome)


def _summary(outcome: Outcome) -> str:
    there = [host.host for host in outcome.hosts if host.verdict != "removed"]
    total, hosts = len(there), len([name for name in there if name not in outcome.waiting])
    among = f"{hosts} of {total}" if outcome.waiting else f"{hosts}"
    where = f"on {among} host{'' if total == 1 else 's'}"
    release = outcome.release
    what = f"release {release.spec.number} {where}" if release is not None else where
    if outcome.halted is not None:
        return f"{what}, {outcome.halted}"
    has_changed = any(host.verdict != "unchanged" for host in outcome.hosts)
    return what if has_changed else f"{what}, nothing to do"


def as_asked(outcome: Outcome) -> Outcome:
    """Return an abort's outcome without the rejection that was its purpose."""
    is_wanted = isinstance(outcome.error, Rejected) and outcome.error.is_aborted
    return replace(outcome, error=None) if is_wanted else outcome
