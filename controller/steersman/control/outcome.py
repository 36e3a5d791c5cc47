"""How an app fared: on each host, and as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.release import Release
from steersman.control.report import Verdict
from steersman.planning.steps import Step


@dataclass(frozen=True, slots=True)
class HostOutcome:
    """How one app fared on one host."""

    host: str
    verdict: Verdict
    steps: tuple[Step, ...] = ()
    error: SteersmanError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one app fared. `error` is set when the app is not as its manifest says.

    `halted` says where a rollout waits for a person, and `waiting` are the hosts that still run
    the release before; that is as wanted, though not done.
    """

    app: str
    release: Release | None = None
    hosts: tuple[HostOutcome, ...] = ()
    error: SteersmanError | None = None
    halted: str | None = None
    waiting: frozenset[str] = frozenset()

    @property
    def is_good(self) -> bool:
        return self.error is None and all(h.error is None for h in self.hosts)


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
        wanted = ", ".join(f"{key}={value}" for key, value in app.spec.placement.selector.items())
        wish = f" (it wants hosts labelled {wanted})" if wanted else ""
        super().__init__(
            f"app {app.name} is placed on no host{wish}; apply Hosts that fit its spec.placement,"
            " or uncordon one: `steer get hosts -o yaml` shows what there is"
        )
