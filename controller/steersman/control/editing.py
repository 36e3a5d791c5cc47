"""Objects that are changed by hand: remembered as they were left, then rolled out as needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.api.job import Job
from steersman.api.objects import AnyObject
from steersman.api.secret import Secret
from steersman.control.busy import Busy
from steersman.control.jobs import JobOutcome
from steersman.control.marks import STEERING
from steersman.control.memory import Memory
from steersman.control.outcome import Outcome
from steersman.control.session import Session
from steersman.planning.placement import place


@dataclass(frozen=True, slots=True)
class Edit:
    """An object as it should be, and the resourceVersion of what somebody read and changed.

    `word` is what is said of it when that is done: edited, labeled.
    """

    target: AnyObject
    expected: int
    word: str = "configured"


@dataclass(frozen=True, slots=True)
class Edited:
    """What became of each edit, in order, and of the apps and jobs that they touch."""

    results: tuple[str | SteersmanError, ...]
    outcomes: tuple[Outcome, ...] = ()
    jobs: tuple[JobOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class _World:
    """What says where apps run."""

    apps: Mapping[str, App]
    hosts: Mapping[str, Host]


_CHANGED = ("created", "configured")


class Editing:
    """Edits of whole objects. `admit` checks what they come to, `touched` names the apps that an
    apply of objects would roll out, `settle` rolls apps and jobs out."""

    def __init__(
        self,
        session: Session,
        busy: Busy,
        *,
        admit: Callable[[Sequence[AnyObject]], Awaitable[None]],
        touched: Callable[[Sequence[AnyObject]], Awaitable[Sequence[str]]],
        settle: Callable[
            [Sequence[str], Sequence[Job]],
            Awaitable[tuple[Sequence[Outcome], Sequence[JobOutcome]]],
        ],
    ) -> None:
        self._session = session
        self._memory: Memory = session.memory
        self._busy = busy
        self._admit = admit
        self._touched = touched
        self._settle = settle

    async def put(self, edits: Sequence[Edit], *, manager: str, is_dry: bool = False) -> Edited:
        """Remember the objects as they are, in the name of `manager`, and roll out what changed.

        A change of metadata alone rolls out nothing, unless it moves apps: a Host's labels, or an
        annotation that steers a rollout. An edit of what somebody has changed meanwhile fails with
        Conflict in `Edited.results`, and the others go on. Raises NotAdmitted before anything.
        """
        await self._admit([edit.target for edit in edits])
        before = await self._world()
        known = [await self._memory.find(e.target.kind, e.target.name) for e in edits]
        asked = [_Changed(was, e.target) for was, e in zip(known, edits, strict=True)]
        if is_dry:
            return Edited(tuple([await self._tried(each, manager, is_dry=True) for each in edits]))
        # Before the first change: it must not be somebody else who brings it to the hosts.
        with self._busy.marking(await self._moved(asked, before)):
            results = [await self._tried(each, manager) for each in edits]
            done = [c for c, r in zip(asked, results, strict=True) if r in _CHANGED]
            if not done:
                return Edited(tuple(results))
            jobs = [c.now for c in done if isinstance(c.now, Job) and c.has_new_spec]
            outcomes, ran = await self._settle(await self._moved(done, before), jobs)
        return Edited(tuple(results), tuple(outcomes), tuple(ran))

    async def _tried(
        self, edit: Edit, manager: str, *, is_dry: bool = False
    ) -> str | SteersmanError:
        try:
            result = await self._put(edit, manager, is_dry=is_dry)
        except SteersmanError as error:
            return error
        if result in _CHANGED and not is_dry:
            key = f"{edit.target.kind.lower()}/{edit.target.name}"
            self._session.report.object_changed(key, edit.word)
        return result

    async def _put(self, edit: Edit, manager: str, *, is_dry: bool) -> str:
        target = edit.target
        known = await self._memory.find(target.kind, target.name)
        # The vault is asked only for values: those of a label are none.
        is_new = known is None or known.spec != target.spec
        if isinstance(target, Secret) and is_new and not is_dry:
            return await self._session.vault.put(
                target, target.given(), expected=edit.expected, manager=manager
            )
        return await self._memory.put_whole(target, edit.expected, manager, is_dry=is_dry)

    async def _world(self) -> _World:
        return _World(await self._memory.apps(), await self._memory.hosts())

    async def _moved(self, changed: Sequence[_Changed], before: _World) -> list[str]:
        """Return the apps to roll out for changes of the world as it was `before`."""
        names: set[str] = set()
        apps, hosts = dict(before.apps), dict(before.hosts)
        for each in changed:
            now = each.now
            if isinstance(now, App):
                status = apps[now.name].status if now.name in apps else now.status
                apps[now.name] = now.model_copy(update={"status": status})
                names |= {now.name} if each.has_new_spec or each.is_steered else set()
            elif isinstance(now, Host):
                hosts[now.name] = now
            if each.has_new_spec and isinstance(now, Host | Secret):
                names |= set(await self._touched([now]))
        # Labels and cordons of Hosts, and placements that they answer to.
        moved = (n for n, a in apps.items() if place(a, hosts) != place(a, before.hosts))
        return sorted({*names, *(name for name in moved if name in before.apps)})


@dataclass(frozen=True, slots=True)
class _Changed:
    """One object before and after."""

    was: AnyObject | None
    now: AnyObject

    @property
    def has_new_spec(self) -> bool:
        return self.was is None or self.was.spec != self.now.spec

    @property
    def is_steered(self) -> bool:
        """Whether an annotation is another that says how the app is rolled out."""
        was = self.was.metadata.annotations if self.was is not None else {}
        now = self.now.metadata.annotations
        return any(was.get(key) != now.get(key) for key in STEERING)
