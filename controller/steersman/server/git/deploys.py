"""What a push brings about: a build, a whole rollout, and everything as before where it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.meta import Object
from steersman.api.objects import MANIFEST_KINDS, parse_object
from steersman.api.secret import Secret
from steersman.control.apply import Controller
from steersman.control.artifacts import Artifacts, platform_of
from steersman.control.outcome import Outcome
from steersman.control.relay import Relay
from steersman.control.release import OVERTAKEN, PINNED, REFUSED
from steersman.control.secrets import PUSHED, SecretReader
from steersman.control.session import Session
from steersman.control.wishes import overtaking
from steersman.manifests import Sourced
from steersman.planning.inventory import Key, inventory_of, key_of
from steersman.planning.placement import place
from steersman.sealing.keyring import Keyring
from steersman.server.git.progress import Remote
from steersman.server.git.scope import Standing
from steersman.store.protocol import Stored


@dataclass(frozen=True, slots=True)
class _Before:
    """What was remembered before a push changed it: the values of Secrets and the number of the
    newest release as well."""

    objects: Mapping[Key, Stored | None]
    values: Mapping[str, Mapping[str, str]] = field(repr=False)
    newest: int


class Deploys:
    """Deploys what was pushed, over the daemon's one session and controller."""

    def __init__(
        self,
        session: Session,
        controller: Controller,
        artifacts: Artifacts,
        relay: Relay,
        keys: Keyring,
    ) -> None:
        self._session = session
        self._memory = session.memory
        self._controller = controller
        self._artifacts = artifacts
        self._relay = relay
        self._secrets = SecretReader(keys, {}, allowed=PUSHED)

    async def app(self, name: str) -> App | None:
        """Return an app as it is remembered."""
        return (await self._memory.apps()).get(name)

    async def deployed_by(self, folder: Path) -> list[App]:
        """Return the apps whose source is the repository in `folder`."""
        apps = (await self._memory.apps()).values()
        return [app for app in apps if (git := app.spec.source.git) and git.url == str(folder)]

    async def standing(self, app: App) -> Standing:
        """Return what of others a pushed manifest of `app` has to leave alone."""
        apps, store = await self._memory.apps(), self._memory.store
        users: dict[str, frozenset[str]] = {}
        for stored in await store.list("Secret"):
            using = {a.name for a in apps.values() if stored.name in a.spec.config.secrets}
            pushed = inventory_of(parse_object(stored.object)) == _inventory(app.name)
            users[stored.name] = frozenset(using | ({app.name} if pushed else set()))
        jobs = {job.name: job.spec.app for job in await self._memory.jobs()}
        return Standing(app, users, jobs)

    def pushing(
        self, folder: Path, ref: str, sha: str, objects: str
    ) -> AbstractContextManager[None]:
        """Let a ref mean the commit that is pushed to it; see Git.pushing."""
        return self._artifacts.pushing(folder, ref, sha, objects)

    async def build(self, app: App, remote: Remote) -> None:
        """Make the app's artifact for every host that answers; raises what is wrong with it."""
        hosts = await self._memory.hosts()
        links, errors = await self._session.connect_all(place(app, hosts).hosts, hosts)
        resolved = await self._artifacts.resolve(app.spec.source)
        for host, error in errors.items():
            remote.line(f"{host}: {error}")
        if not links:
            remote.line("no host says what to build for, so nothing was built")
        platforms = {(p := platform_of(link, app.spec.build)).key: p for link in links.values()}
        for platform in platforms.values():

            def say(text: str) -> None:
                remote.said(app.name, text)

            await self._artifacts.build(resolved, app.spec.build, platform, say)

    async def overtake(self, app: str, commit: str) -> None:
        """Have a rollout of the app that is under way give up for a commit that waits."""
        await self._memory.annotate(app, {OVERTAKEN: overtaking(commit)})

    async def deploy(
        self, app: str, sourced: Sequence[Sourced], remote: Remote, *, or_undo: bool
    ) -> None:
        """Apply what a push says, or only bring the app to its new commit.

        Raises why what was pushed is not what serves. With `or_undo`, everything that is remembered
        is then as it was before.
        """
        before = await self._before(app, [each.obj for each in sourced])
        await self._expect(app, sourced, remote)
        with self._relay.listening(remote):
            try:
                fault = await self._bring(app, sourced, remote)
            except SteersmanError as error:
                fault = error
            if fault is not None and or_undo:
                await self._take_back(before, app)
        if fault is not None:
            raise fault

    async def _expect(self, app: str, sourced: Sequence[Sourced], remote: Remote) -> None:
        """Tell how many hosts the app will be on."""
        pushed = [each.obj for each in sourced if isinstance(each.obj, App)]
        wanted = pushed[0] if pushed else await self.app(app)
        if wanted is not None:
            remote.hosts = len(place(wanted, await self._memory.hosts()).hosts)

    async def _bring(
        self, app: str, objects: Sequence[Sourced], remote: Remote
    ) -> SteersmanError | None:
        """Return why the app is not as the push has it, if it is not."""
        if not objects:
            # As applying a manifest does: who pushes wants what he pushes.
            await self._memory.annotate(app, {PINNED: None})
            return _fault(await self._controller.reconcile(app), remote)
        given = await self._secrets.read(objects)
        applied = await self._controller.apply(given, inventory=_inventory(app))
        outcomes = {outcome.app: outcome for outcome in applied.outcomes}
        fault = _fault(outcomes.get(app) or await self._controller.reconcile(app), remote)
        for job in applied.jobs:
            if job.error is not None:
                remote.line(f"error: job {job.job}: {job.error}")
        if fault is None:
            await self._prune(app, objects, remote)
        return fault

    async def _prune(self, app: str, objects: Sequence[Sourced], remote: Remote) -> None:
        # The app itself stays: that it is there at all was not the pusher's to decide.
        wanted = {Key("App", app), *(key_of(each.obj) for each in objects)}
        pruned = await self._controller.pruner.prune(_inventory(app), wanted)
        for key, why in pruned.protected.items():
            remote.line(f"{key} stays: {why}")
        for error in pruned.errors:
            remote.line(f"error: {error}")

    async def _before(self, app: str, objects: Sequence[Object]) -> _Before:
        store = self._memory.store
        numbers = [release.spec.number for release in await self._memory.releases(app)]
        keys = {Key("App", app), *map(key_of, objects)}
        found = {key: await store.get(*key) for key in keys}
        names = [key.name for key, stored in found.items() if key.kind == "Secret" and stored]
        return _Before(found, await self._session.vault.current(names), max([0, *numbers]))

    async def _take_back(self, before: _Before, app: str) -> None:
        """Have what was remembered again, and the releases since then count for nothing."""
        for release in await self._memory.releases(app):
            if release.spec.number > before.newest:
                await self._memory.annotate_release(release, {REFUSED: "push"})
                if release.status.state == "pending":
                    await self._memory.set_release_state(
                        release, "cancelled", "the push was refused"
                    )
        await self._restore(before, app)

    async def _restore(self, before: _Before, app: str) -> None:
        """Remember objects as they were; what a person changed meanwhile stays theirs."""
        for key in sorted(before.objects, key=lambda key: -MANIFEST_KINDS.index(key.kind)):
            stored = before.objects[key]
            now = await self._memory.store.get(key.kind, key.name)
            if now is None or (stored is not None and now.generation > stored.generation + 1):
                continue
            if stored is None:
                await self._controller.delete(*key)
            elif key.kind == "Secret":
                secret = cast(Secret, parse_object(stored.object))
                await self._session.vault.put(secret, before.values[key.name])
            else:
                await self._memory.put(parse_object(stored.object))
            self._session.report.said(app, f"{key} is as it was before")


def _fault(outcome: Outcome, remote: Remote) -> SteersmanError | None:
    """Return why an app is not deployed. A host that is silent is told of, and fails itself."""
    if outcome.error is not None:
        return outcome.error
    errors = [host.error for host in outcome.hosts if host.error is not None]
    if errors and not any(host.error is None for host in outcome.hosts):
        return errors[0]
    release = outcome.release
    if release is not None:
        good = sum(host.error is None for host in outcome.hosts)
        among = f"{good} of {len(outcome.hosts)}" if errors else f"{good}"
        where = f"on {among} host{'' if among == '1' else 's'}"
        halted = f", {outcome.halted}" if outcome.halted is not None else ""
        remote.last(f"{outcome.app}: release {release.spec.number} {where}{halted}")
    return None


def _inventory(app: str) -> str:
    return f"push/{app}"
