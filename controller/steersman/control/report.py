"""What control says while it works; the CLI shows it, a daemon logs it."""

from __future__ import annotations

from typing import Literal, Protocol

from steersman.planning.steps import Step

Verdict = Literal["unchanged", "converged", "rejected", "failed", "unreachable", "removed"]


class Reporter(Protocol):
    """Told of everything as it happens; must not block."""

    def object_changed(self, key: str, change: str) -> None:
        """`key` is such as `app/shop`, `change` created, configured, unchanged, deleted."""

    def said(self, subject: str, text: str) -> None:
        """Progress of something without a host, such as a build."""

    def step_began(self, host: str, app: str, step: Step, number: int, of: int) -> None: ...

    def step_ended(self, host: str, app: str, step: Step, seconds: float) -> None: ...

    def host_ended(self, host: str, app: str, verdict: Verdict, detail: str) -> None: ...


class Silent:
    """A reporter that says nothing."""

    def object_changed(self, key: str, change: str) -> None: ...

    def said(self, subject: str, text: str) -> None: ...

    def step_began(self, host: str, app: str, step: Step, number: int, of: int) -> None: ...

    def step_ended(self, host: str, app: str, step: Step, seconds: float) -> None: ...

    def host_ended(self, host: str, app: str, verdict: Verdict, detail: str) -> None: ...
