"""The controller's verbs, done by a daemon: told as they go, and with the same outcomes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.job import Job, JobRun
from steersman.api.objects import AnyObject, dump_object
from steersman.api.secret import Secret
from steersman.client.api import Api
from steersman.client.errors import OnlyHere
from steersman.client.paths import path_of
from steersman.control.adopt import Adopted
from steersman.control.answers import (
    decode_adopted,
    decode_applied,
    decode_edited,
    decode_followed,
    decode_job_plans,
    decode_outcome,
    decode_outcomes,
    decode_planned,
    encode_plan,
)
from steersman.control.deleting import Cascade
from steersman.control.editing import Edit, Edited
from steersman.control.faults import decode_error
from steersman.control.jobs import JobSteps
from steersman.control.memory import Memory
from steersman.control.outcome import Applied, Outcome
from steersman.control.plans import Planned
from steersman.control.prune import Pruner
from steersman.control.report import Silent
from steersman.control.repositories import Followed
from steersman.control.verbs import Made
from steersman.manifests.document import Sourced
from steersman.planning.plans import Plan


class RemoteController:
    """The same methods as `control.apply.Controller`."""

    def __init__(self, api: Api, memory: Memory) -> None:
        self._api = api
        self._memory = memory
        self.steering = RemoteSteering(api)
        self.cordons = RemoteCordons(api)
        self.jobs = RemoteJobs(api)
        self.job_runs = RemoteRuns(api)
        self.plans = RemotePlans(api)
        self.editing = RemoteEditing(api)
        self.adoption = RemoteAdoption(api)

    @property
    def pruner(self) -> Pruner:
        return Pruner(self._memory, self.delete)

    async def apply(self, sourced: Sequence[Sourced], *, inventory: str | None = None) -> Applied:
        data = sent(self._api, sourced) | ({"inventory": inventory} if inventory else {})
        return decode_applied(await self._api.told("/apply", data))

    async def reconcile(self, name: str) -> Outcome:
        return decode_outcome(await self._api.told(f"{path_of('App', name)}/reconcile"))

    async def diff(self, sourced: Sequence[Sourced]) -> list[Outcome]:
        return decode_outcomes(await self._api.told("/diff", sent(self._api, sourced)))

    async def drift(self, names: Sequence[str]) -> list[Outcome]:
        told = [await self._api.told(f"{path_of('App', name)}/diff") for name in names]
        return [outcome for each in told for outcome in decode_outcomes(each)]

    async def delete(self, kind: str, name: str, cascade: Cascade = "background") -> list[Outcome]:
        body = {"propagationPolicy": cascade.capitalize()}
        return decode_outcomes(await self._api.told(path_of(kind, name), body, method="DELETE"))


class RemoteAdoption:
    """The same method as `control.adopt.Adoption`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def adopt(self, names: Sequence[str]) -> Adopted:
        return decode_adopted(await self._api.told("/adoptions", {"names": list(names)}))


class RemoteRepositories:
    """The method of `control.repositories.Repositories` that verbs use."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def reconcile(self, name: str, *, is_asked: bool = False) -> Followed:
        path = f"{path_of('Repository', name)}/reconcile"
        return decode_followed(await self._api.told(path, {"asked": is_asked}))


class RemotePushes:
    """The same method as `server.git.create.Pushes`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(self, app: str, ref: str, routes: Sequence[str]) -> Made:
        path = path_of("GitRepository", app)
        return Made(**await self._api.told(path, {"ref": ref, "routes": list(routes)}))


class RemoteSteering:
    """The same methods as `control.steering.Steering`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def restart(self, name: str) -> Outcome:
        return await self._steer(name, "rollout/restart")

    async def pause(self, name: str) -> None:
        await self._api.told(f"{path_of('App', name)}/rollout/pause")

    async def resume(self, name: str) -> Outcome:
        return await self._steer(name, "rollout/resume")

    async def promote(self, name: str, *, is_full: bool) -> Outcome:
        return await self._steer(name, "rollout/promote", full=is_full)

    async def abort(self, name: str) -> Outcome:
        return await self._steer(name, "rollout/abort")

    async def undo(self, name: str, to: int | None, *, is_forced: bool = False) -> Outcome:
        return await self._steer(name, "rollout/undo", to=to, force=is_forced)

    async def scale(self, name: str, counts: Mapping[str, int]) -> Outcome:
        return await self._steer(name, "scale", counts=dict(counts))

    async def _steer(self, name: str, verb: str, **options: Any) -> Outcome:
        return decode_outcome(await self._api.told(f"{path_of('App', name)}/{verb}", options))


class RemoteCordons:
    """The same methods as `control.cordon.Cordons`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def cordon(self, name: str) -> bool:
        return bool(await self._api.told(f"{path_of('Host', name)}/cordon"))

    async def uncordon(self, name: str) -> list[Outcome] | None:
        told = await self._api.told(f"{path_of('Host', name)}/uncordon")
        return None if told is None else decode_outcomes(told)

    async def drain(
        self, name: str, *, is_forced: bool, within: float | None
    ) -> tuple[bool, list[Outcome]]:
        options = {"force": is_forced, "within": within}
        told = await self._api.told(f"{path_of('Host', name)}/drain", options)
        return bool(told["empty"]), decode_outcomes(told["outcomes"])


class RemoteJobs:
    """The methods of `control.jobs.Jobs` that verbs use."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def diff(self, objects: Sequence[AnyObject]) -> dict[str, JobSteps]:
        data = {"objects": [wire(each) for each in objects]}
        return decode_job_plans(await self._api.told("/jobplans", data))

    async def refresh(self, jobs: Collection[Job]) -> dict[str, SteersmanError]:
        names = [job.name for job in jobs]
        told = await self._api.told("/jobrefresh", {"names": names}) if names else {}
        return {host: decode_error(error) for host, error in told.items()}


class RemotePlans:
    """The same methods as `control.plans.Plans`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def make(self, sourced: Sequence[Sourced], names: Sequence[str]) -> Planned:
        data = sent(self._api, sourced) | {"names": list(names)}
        return decode_planned(await self._api.told("/plans", data))

    async def apply(self, plan: Plan, sourced: Sequence[Sourced]) -> Applied:
        data = sent(self._api, sourced) | {"plan": encode_plan(plan)}
        return decode_applied(await self._api.told("/planned", data))


class RemoteEditing:
    """The same method as `control.editing.Editing`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def put(self, edits: Sequence[Edit], *, manager: str, is_dry: bool = False) -> Edited:
        listed = [
            {"object": wire(each.target), "expected": each.expected, "word": each.word}
            for each in edits
        ]
        data = {"edits": listed, "manager": manager, "dry": is_dry}
        return decode_edited(await self._api.told("/edits", data))


class RemoteRuns:
    """The methods of `control.job_runs.JobRuns` that verbs use."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def run(self, job: Job, host: str, say: Callable[[str], None]) -> JobRun:
        path = f"{path_of('Job', job.name)}/run"
        told = await self._api.told(path, {"host": host}, report=_Saying(say))
        return JobRun.model_validate(told, by_alias=True, by_name=False)


class _Saying(Silent):
    """Hears the lines of a run."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def said(self, subject: str, text: str) -> None:
        self._say(text)


def sent(api: Api, sourced: Sequence[Sourced]) -> dict[str, Any]:
    """Return a request's body with objects in it; raises OnlyHere for what stays behind."""
    objects = [each.obj for each in sourced]
    if api.context.is_elsewhere:
        for obj in objects:
            if isinstance(obj, App) and obj.spec.source.path is not None:
                raise OnlyHere(
                    f"app {obj.name}: its source {obj.spec.source.path} is a folder on this"
                    f" machine, and {api.context.server} cannot see it; use a git repository or a"
                    " package, or push it: `git push steer main`"
                )
    return {"objects": [wire(each) for each in objects]}


def wire(obj: AnyObject) -> dict[str, Any]:
    """Return an object as it is sent to a daemon: the one place but hosts where values go."""
    if not isinstance(obj, Secret):
        return {key: value for key, value in dump_object(obj).items() if key != "status"}
    plain = {key: each for key, each in obj.spec.data.items() if each.value is None}
    spec = obj.spec.model_copy(update={"data": plain})
    data = dump_object(obj.model_copy(update={"spec": spec}))
    values = {
        key: {"value": each.value.reveal()}
        for key, each in obj.spec.data.items()
        if each.value is not None
    }
    data["spec"]["data"] = {**data["spec"]["data"], **values}
    return {key: value for key, value in data.items() if key != "status"}
