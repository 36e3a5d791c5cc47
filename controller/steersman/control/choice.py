"""What a rollout is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steersman.api.app import App
from steersman.api.release import Release
from steersman.control.hosts import HostLink
from steersman.control.release import last_good
from steersman.planning.placement import Shares


@dataclass(frozen=True, slots=True)
class Choice:
    """What a rollout is about: the release, those there were, who runs them and how much."""

    app: App
    release: Release
    releases: Sequence[Release]
    links: Sequence[HostLink]
    shares: Shares

    @property
    def previous(self) -> Release | None:
        """The last good release before this one."""
        return last_good(self.releases, self.release.spec.number)

    @property
    def served(self) -> str:
        """What serves when this release does not, in words."""
        before = self.previous
        return (
            "nothing serves yet"
            if before is None
            else f"release {before.spec.number} serves as before"
        )
