"""What the command line asks of a controller, whether that runs in this process or in a daemon."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from steersman.api.errors import SteersmanError
from steersman.api.job import Job, JobRun
from steersman.api.objects import AnyObject
from steersman.control.adopt import Adopted
from steersman.control.deleting import Cascade
from steersman.control.editing import Edit, Edited
from steersman.control.jobs import JobSteps
from steersman.control.outcome import Applied, Outcome
from steersman.control.plans import Planned
from steersman.control.prune import Pruner
from steersman.control.repositories import Followed
from steersman.manifests.document import Sourced
from steersman.planning.plans import Plan


class SteeringVerbs(Protocol):
    """See `control.steering.Steering`."""

    async def restart(self, name: str) -> Outcome: ...
    async def pause(self, name: str) -> None: ...
    async def resume(self, name: str) -> Outcome: ...
    async def promote(self, name: str, *, is_full: bool) -> Outcome: ...
    async def abort(self, name: str) -> Outcome: ...
    async def undo(self, name: str, to: int | None, *, is_forced: bool = False) -> Outcome: ...
    async def scale(self, name: str, counts: Mapping[str, int]) -> Outcome: ...


class CordonVerbs(Protocol):
    """See `control.cordon.Cordons`."""

    async def cordon(self, name: str) -> bool: ...
    async def uncordon(self, name: str) -> list[Outcome] | None: ...
    async def drain(
        self, name: str, *, is_forced: bool, within: float | None
    ) -> tuple[bool, list[Outcome]]: ...


class JobVerbs(Protocol):
    """See `control.jobs.Jobs`."""

    async def diff(self, objects: Sequence[AnyObject]) -> dict[str, JobSteps]: ...
    async def refresh(self, jobs: Collection[Job]) -> dict[str, SteersmanError]: ...


class RunVerbs(Protocol):
    """See `control.job_runs.JobRuns`."""

    async def run(self, job: Job, host: str, say: Callable[[str], None]) -> JobRun: ...


class PlanVerbs(Protocol):
    """See `control.plans.Plans`."""

    async def make(self, sourced: Sequence[Sourced], names: Sequence[str]) -> Planned: ...
    async def apply(self, plan: Plan, sourced: Sequence[Sourced]) -> Applied: ...


class AdoptVerbs(Protocol):
    """See `control.adopt.Adoption`."""

    async def adopt(self, names: Sequence[str]) -> Adopted: ...


class FollowVerbs(Protocol):
    """See `control.repositories.Repositories`."""

    async def reconcile(self, name: str, *, is_asked: bool = False) -> Followed: ...


@dataclass(frozen=True, slots=True)
class Made:
    """A repository to push to: where it lies, whether it is new, and what to do next."""

    url: str
    is_new: bool
    next_steps: str


class PushVerbs(Protocol):
    """See `server.git.create.Pushes`."""

    async def create(self, app: str, ref: str, routes: Sequence[str]) -> Made: ...


class EditVerbs(Protocol):
    """See `control.editing.Editing`."""

    async def put(self, edits: Sequence[Edit], *, manager: str, is_dry: bool = False) -> Edited: ...


class Verbs(Protocol):
    """See `control.apply.Controller`."""

    @property
    def steering(self) -> SteeringVerbs: ...
    @property
    def cordons(self) -> CordonVerbs: ...
    @property
    def jobs(self) -> JobVerbs: ...
    @property
    def job_runs(self) -> RunVerbs: ...

    @property
    def pruner(self) -> Pruner: ...
    @property
    def plans(self) -> PlanVerbs: ...
    @property
    def editing(self) -> EditVerbs: ...
    @property
    def adoption(self) -> AdoptVerbs: ...

    async def apply(
        self, sourced: Sequence[Sourced], *, inventory: str | None = None
    ) -> Applied: ...
    async def reconcile(self, name: str) -> Outcome: ...
    async def diff(self, sourced: Sequence[Sourced]) -> list[Outcome]: ...
    async def drift(self, names: Sequence[str]) -> list[Outcome]: ...
    async def delete(
        self, kind: str, name: str, cascade: Cascade = "background"
    ) -> list[Outcome]: ...
