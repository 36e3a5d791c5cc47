"""How an app fared: on each host, and as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.release import Release
from steersman.control.report import Verdict
from steersman.planning.placement import Shares
from steersman.planning.seen import HostSeen
from steersman.planning.steps import Step

if TYPE_CHECKING:
    from steersman.control.jobs import JobOutcome


@dataclass(frozen=True, slots=True)
class HostOutcome:
    """How one app fared on one host; `seen` is what was planned from, where nothing was done."""

    host: str
    verdict: Verdict
    steps: tuple[Step, ...] = ()
    error: SteersmanError | None = None
    seen: HostSeen | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one app fared. `error` is set when the app is not as its manifest says.

    `halted` says where a rollout waits for a person, and `waiting` are the hosts that still run
    the release before; that is as wanted, though not done. `shares` are the replicas that hosts
    were told to run.
    """

    app: str
    release: Release | None = None
    hosts: tuple[HostOutcome, ...] = ()
    error: SteersmanError | None = None
    halted: str | None = None
    waiting: frozenset[str] = frozenset()
    shares: Shares = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return self.error is None and all(h.error is None for h in self.hosts)

    @property
    def is_there(self) -> bool:
        """Whether every host serves what it was told to; the last good release will do."""
        is_out = self.error is None or isinstance(self.error, Rejected)
        is_done = self.halted is None and not self.waiting
        served = (host.error is None and host.verdict != "removed" for host in self.hosts)
        return is_out and is_done and all(served)

    def then(self, second: Outcome) -> Outcome:
        """Return how two passes over the same hosts went, as one."""
        before = {host.host: host for host in self.hosts}

        def joined(host: HostOutcome) -> HostOutcome:
            was = before[host.host]
            verdict = was.verdict if host.verdict == "unchanged" else host.verdict
            return replace(host, verdict=verdict, steps=(*was.steps, *host.steps))

        error = self.error if self.error is not None else second.error
        return replace(second, hosts=tuple(map(joined, second.hosts)), error=error)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of the objects and of each app."""

    changes: tuple[tuple[str, str], ...]
    outcomes: tuple[Outcome, ...]
    jobs: tuple[JobOutcome, ...] = ()
    errors: tuple[SteersmanError, ...] = ()
    """What belongs to no app or job alone."""

    @property
    def is_good(self) -> bool:
        are_jobs_good = all(job.error is None for job in self.jobs)
        are_apps_good = all(outcome.is_good for outcome in self.outcomes)
        return are_jobs_good and are_apps_good and not self.errors


class Rejected(SteersmanError):
    """A release failed its gate or soak; it never took traffic, or gave it back."""

    def __init__(
        self, release: Release, why: str, served: str, *, is_known: bool, is_aborted: bool = False
    ) -> None:
        self.is_aborted = is_aborted
        spec = release.spec
        done = "was aborted" if is_aborted else "was rejected"
        again = " before and is not tried again" if is_known else ""
        super().__init__(
            f"app {spec.app}: release {spec.number} {done}{again}: {why}\n"
            f"  {served}; change the source or the manifest and apply again,"
            f" or see `steer describe app/{spec.app}`"
        )


class Stopped(SteersmanError):
    """Hosts failed for reasons of their own, more of them than the app allows."""

    def __init__(self, release: Release, failed: int, left: int) -> None:
        spec = release.spec
        rest = f"; {left} more were not touched" if left else ""
        super().__init__(
            f"app {spec.app}: the rollout of release {spec.number} stopped after {failed} host"
            f"{'' if failed == 1 else 's'} failed{rest}: mend what is said above and apply again,"
            " which goes on from here"
        )


class Overtaken(SteersmanError):
    """Somebody asked for something else while a release was rolled out."""

    retryable = True

    def __init__(self, release: Release) -> None:
        spec = release.spec
        super().__init__(
            f"app {spec.app}: the rollout of release {spec.number} was cancelled, because somebody"
            f" has changed the app since; theirs goes on: `steer rollout status app/{spec.app}`"
        )


class NowhereToRun(SteersmanError):
    """No host fits the app's placement."""

    def __init__(self, app: App) -> None:
        wanted = app.spec.placement.text
        wish = f" (it wants hosts labelled {wanted})" if wanted else ""
        super().__init__(
            f"app {app.name} is placed on no host{wish}; apply Hosts that fit its spec.placement,"
            " or uncordon one: `steer get hosts -o yaml` shows what there is"
        )
