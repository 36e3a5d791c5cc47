"""Whether a push is taken: what it may change, what must succeed before it does, and in turn."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import structlog

from steersman.api.app import App, Gate
from steersman.api.errors import SteersmanError
from steersman.builds.gitnames import meanings
from steersman.control.followed import BASE
from steersman.control.status import first_sentence
from steersman.manifests import Sourced, load_commit
from steersman.server.git.deploys import Deploys
from steersman.server.git.depot import Depot
from steersman.server.git.progress import Remote
from steersman.server.git.scope import own_objects
from steersman.server.git.trees import check_tree, commit_of, is_forward, stands_at
from steersman.server.git.updates import Push, PushRefused, Update, short

log = structlog.get_logger(__name__)

Wake = Callable[[str], None]


@dataclass(slots=True)
class Session:
    """One push from its first byte to its last: `held` is let go when git has ended, `pretended`
    when the refs have moved.

    `reasons` says why refs were refused, and `rest` is what is to be deployed.
    """

    remote: Remote
    held: ExitStack
    pretended: ExitStack = field(default_factory=ExitStack)
    reasons: dict[str, str] = field(default_factory=dict)
    rest: Deployment | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a push asks to have deployed: an app's ref, its new commit, and its manifest."""

    app: App
    update: Update
    commit: str
    objects: tuple[Sourced, ...]
    gate: Gate


class Judge:
    """Judges pushes, those to the deployed ref of an app one after the other."""

    def __init__(
        self, depot: Depot, deploys: Deploys, wake: Wake, *, gate: Gate, max_tree: int
    ) -> None:
        self._depot = depot
        self._deploys = deploys
        self._wake = wake
        self._gate = gate
        self._max_tree = max_tree
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._newest: dict[str, Session] = {}

    async def before(self, push: Push, session: Session) -> bool:
        """Return whether the refs may move; everything that was pushed is still in quarantine."""
        try:
            await self._before(push, session)
        except SteersmanError as error:
            self._refuse(push, session, error)
            return False
        return True

    async def after(self, push: Push, session: Session) -> None:
        """Deploy what could not be before the refs moved, and tell the others of the repository."""
        session.pretended.close()
        moved, rest = {update.ref for update in push.updates}, session.rest
        if rest is not None and rest.gate != "rollout" and rest.update.ref in moved:
            await self._roll_out(push.app, rest, session.remote)
        for app in await self._deploys.deployed_by(self._depot.path(push.app)):
            if app.name != push.app and moved & set(_refs_of(app)):
                self._wake(app.key)

    async def _roll_out(self, app: str, rest: Deployment, remote: Remote) -> None:
        """Deploy what counts as pushed already: a failure is told, and takes nothing back."""
        name, status = short(rest.update.ref), f"`steer rollout status app/{app}`"
        remote.line(
            f"{name} has moved, and is rolled out now; who leaves stops nothing: {status} shows it"
        )
        try:
            await self._deploys.deploy(app, rest.objects, remote, or_undo=False)
        except SteersmanError as error:
            remote.last(str(error))
            remote.last(
                f"{name} has moved all the same: its push.gate is {rest.gate}; push what mends it,"
                f" or go back with `steer rollout undo app/{app}`; {status} says how it stands"
            )

    def _refuse(self, push: Push, session: Session, error: SteersmanError) -> None:
        session.remote.last(str(error))
        why = first_sentence(str(error)).removeprefix(f"app {push.app}: ").removesuffix(";")
        log.warning("push_refused", app=push.app, key=push.key, why=why)
        session.reasons.update({update.ref: why for update in push.updates})
        if session.rest is not None:
            deployed = session.rest.update.ref
            others = {u.ref for u in push.updates} - {deployed}
            session.reasons.update(dict.fromkeys(others, f"{short(deployed)} was refused"))

    async def _before(self, push: Push, session: Session) -> None:
        app = await self._deploys.app(push.app)
        folder = self._depot.path(push.app)
        source = app.spec.source.git if app is not None else None
        if app is None or source is None or source.url != str(folder):
            where = "there is no such app" if app is None else "its source is another"
            session.remote.line(f"{push.app}: recorded, and nothing is deployed: {where}")
            return
        update = await self._deployed(push, app)
        if update is None:
            session.remote.line(f"recorded; what is deployed is {short(source.ref)}")
            return
        await self._take_turn(push, app, update, session)
        session.rest = await self._checked(push, app, update)
        objects = push.quarantine or str(folder / "objects")
        # Until git has moved the ref: whoever looks meanwhile must see what is being deployed.
        session.pretended.enter_context(
            self._deploys.pushing(folder.resolve(), update.ref, session.rest.commit, objects)
        )
        self._refuse_overtaken(push, session)
        try:
            await self._pass_gate(session.rest, session.remote)
        except SteersmanError:
            # The same in other words would tell this pusher less.
            self._refuse_overtaken(push, session)
            raise

    async def _deployed(self, push: Push, app: App) -> Update | None:
        """Return what the push wants of the ref that is deployed, None if it is about others."""
        found = [(ref, push.of(ref)) for ref in _refs_of(app)]
        for ref, update in found:
            if update is None:
                # A branch hides the tag of its name.
                if await stands_at(self._depot, app.name, ref) is not None:
                    return None
                continue
            if update.new is None:
                raise PushRefused(
                    f"{short(ref)} is what app {app.name} is deployed from, so it is not deleted;"
                    f" `steer delete app/{app.name}` removes the app, or set its"
                    " spec.source.git.ref to another branch first"
                )
            return update
        return None

    async def _take_turn(self, push: Push, app: App, update: Update, session: Session) -> None:
        """Wait for the push before, which gives up for one that may take its place."""
        turn = self._turns[push.app]
        if turn.locked():
            # What would be refused anyhow overtakes nobody.
            await self._check_stands(push, update)
            commit = (await self._checked(push, app, update)).commit
            self._newest[push.app] = session
            session.remote.line(f"overtaking another push to {push.app}, which is undone first")
            await self._deploys.overtake(push.app, commit)
        else:
            self._newest[push.app] = session
        await turn.acquire()
        session.held.callback(turn.release)
        session.held.enter_context(session.pretended)
        self._refuse_overtaken(push, session)
        await self._check_stands(push, update)

    def _refuse_overtaken(self, push: Push, session: Session) -> None:
        if self._newest[push.app] is not session:
            raise PushRefused(
                f"a newer push to {push.app} has overtaken this one; fetch what it brought, and"
                " push again if yours is not in it"
            )

    async def _check_stands(self, push: Push, update: Update) -> None:
        if await stands_at(self._depot, push.app, update.ref) != update.old:
            raise PushRefused(f"{short(update.ref)} has moved meanwhile; fetch, and push again")

    async def _checked(self, push: Push, app: App, update: Update) -> Deployment:
        """Return what is to be deployed; raises PushRefused or ManifestErrors."""
        depot, quarantine = self._depot, push.quarantine
        commit = await commit_of(depot, app.name, update.new or "", quarantine)
        if update.old is not None and not app.spec.push.force:
            forward = await is_forward(depot, app.name, update.old, commit, quarantine)
            if not forward:
                raise PushRefused(
                    f"{short(update.ref)} does not contain what is deployed, so that would be lost;"
                    " merge it first, or set spec.push.force of the app"
                )
        git = app.spec.source.git
        inner = git.path if git is not None else None
        found = await check_tree(depot, app.name, commit, quarantine, self._max_tree, inner)
        objects: tuple[Sourced, ...] = ()
        if found is not None:
            path, text = found
            loaded = load_commit({path: text}, BASE / str(PurePosixPath(path).parent))
            objects = own_objects(loaded.objects, await self._deploys.standing(app))
        wanted = [each.obj for each in objects if isinstance(each.obj, App)]
        return Deployment(
            wanted[0] if wanted else app, update, commit, objects, app.spec.push.gate or self._gate
        )

    async def _pass_gate(self, deployment: Deployment, remote: Remote) -> None:
        if deployment.gate == "build":
            await self._deploys.build(deployment.app, remote)
        elif deployment.gate == "rollout":
            name = deployment.app.name
            await self._deploys.deploy(name, deployment.objects, remote, or_undo=True)


def _refs_of(app: App) -> Sequence[str]:
    """Return the full names that an app's ref may stand for, the likeliest first."""
    git = app.spec.source.git
    return meanings(git.ref) if git is not None else ()
