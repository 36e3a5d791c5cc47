"""What would be done, planned from what is seen now, and not done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from steersman.api.app import App, AppStatus
from steersman.api.host import Host
from steersman.api.objects import AnyObject
from steersman.api.secret import Secret
from steersman.control.admission import placed
from steersman.control.artifacts import Artifacts
from steersman.control.fixed import Secrets
from steersman.control.memory import Memory
from steersman.control.outcome import Outcome
from steersman.control.rollout import Rollout
from steersman.control.session import Session


class Pretence:
    """Rollouts that only look and plan."""

    def __init__(self, session: Session, artifacts: Artifacts) -> None:
        self._session = session
        self._memory: Memory = session.memory
        self._artifacts = artifacts

    async def apply(self, objects: Sequence[AnyObject]) -> list[Outcome]:
        """Return how each app that objects touch would fare, were they remembered."""
        apps, hosts = await self._memory.apps(), await self._memory.hosts()
        given = {
            obj.name: await self._memory.with_our_annotations(obj)
            for obj in objects
            if isinstance(obj, Host)
        }
        hosts = {**hosts, **given}
        for obj in objects:
            if isinstance(obj, App):
                status = apps[obj.name].status if obj.name in apps else AppStatus()
                apps[obj.name] = await self._memory.as_applied(obj, status)
        secrets = {
            obj.name: await self._session.vault.with_kept(obj, obj.given())
            for obj in objects
            if isinstance(obj, Secret)
        }
        names = {obj.name for obj in objects if isinstance(obj, App)}
        for app in apps.values():
            # Also those that a Host's labels drive away.
            held = {*placed(app, hosts), *app.status.hosts}
            if secrets.keys() & set(app.spec.config.secrets) or given.keys() & held:
                names.add(app.name)
        return await self._planned([apps[name] for name in sorted(names)], hosts, secrets)

    async def keep(self, names: Sequence[str]) -> list[Outcome]:
        """Return how apps would fare that are brought back to what is remembered of them."""
        apps = [await self._memory.app(name) for name in names]
        return await self._planned(apps, await self._memory.hosts(), {})

    async def _planned(
        self, apps: Sequence[App], hosts: Mapping[str, Host], secrets: Secrets
    ) -> list[Outcome]:
        rollout = Rollout(self._session, self._artifacts, is_dry=True, pretended=secrets)
        return list(await asyncio.gather(*(rollout.run(app, hosts) for app in apps)))
