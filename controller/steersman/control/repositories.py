"""Repositories: the manifests of a commit, applied as a whole, and the last good commit kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from steersman.api.errors import SteersmanError
from steersman.api.meta import READY, STALLED, Condition, Conditions, find_condition, set_condition
from steersman.api.objects import dump_object
from steersman.api.repository import Repository, RepositoryStatus
from steersman.api.secret import Secret
from steersman.builds.credentials import Credentials, credentials_for
from steersman.builds.errors import SourceTooLarge
from steersman.builds.follow import WAY_OUT, Follower
from steersman.builds.git import Commit
from steersman.builds.gitnames import source_name
from steersman.builds.model import GitSource
from steersman.builds.signatures import Trusted
from steersman.control.apply import Applied, Controller
from steersman.control.followed import BASE, check_followed
from steersman.control.memory import NotFound
from steersman.control.prune import Pruned
from steersman.control.secrets import PUSHED, SecretReader
from steersman.control.session import Session, whoever
from steersman.control.status import first_sentence
from steersman.manifests import Sourced, load_commit
from steersman.planning.inventory import key_of, marked
from steersman.sealing.keyring import Keyring

_SHORT = 12
# What the store and the controller add to metadata, and a manifest does not say.
_OWNED = ("uid", "generation", "resourceVersion", "creationTimestamp", "deletionTimestamp")


@dataclass(frozen=True, slots=True)
class Followed:
    """How a look at a repository went; without `applied`, there was nothing to apply.

    `error` is why the commit that its ref means is not what is applied; `after` says in how many
    seconds to look again.
    """

    name: str
    after: float
    commit: str | None = None
    applied: Applied | None = None
    pruned: Pruned = field(default_factory=Pruned)
    error: SteersmanError | None = None

    @property
    def is_good(self) -> bool:
        was_applied = self.applied is None or self.applied.is_good
        return self.error is None and was_applied and not self.pruned.errors


class Repositories:
    """Follows repositories, over one session."""

    def __init__(
        self,
        session: Session,
        controller: Controller,
        keys: Keyring,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._session = session
        self._memory = session.memory
        self._controller = controller
        self._follower = Follower(session.cache, environ)
        self._secrets = SecretReader(keys, {}, allowed=PUSHED)

    async def repository(self, name: str) -> Repository:
        """Return a repository as it is remembered; raises NotFound."""
        stored = await self._memory.store.get("Repository", name)
        if stored is None:
            raise NotFound("Repository", name)
        return Repository.model_validate(stored.object)

    async def reconcile(self, name: str, *, is_asked: bool = False) -> Followed:
        """Look where the ref stands, and bring what its commit says; remember how that went.

        With `is_asked` it is brought although nothing has changed. Errors of git and of the
        manifests are in what is returned: the last good commit stays as it is.
        """
        store = self._memory.store
        async with self._session.turn.holding(store, f"repository/{name}", whoever()):
            repository = await self.repository(name)
            if repository.is_suspended:
                followed = Followed(name, repository.spec.interval, error=Suspended(name))
                await self._remember(repository, followed, None, ())
                return followed
            return await self._follow(repository, is_asked=is_asked)

    async def _follow(self, repository: Repository, *, is_asked: bool) -> Followed:
        spec, name = repository.spec, repository.name
        source = GitSource(spec.url, spec.ref, spec.path)
        commit: Commit | None = None
        objects: tuple[Sourced, ...] = ()
        try:
            credentials = await self._credentials(spec.credentials, spec.url)
            commit = await self._follower.resolve(source, credentials)
            self._session.report.said(name, f"{spec.ref} is commit {commit.sha[:_SHORT]}")
            self._check_size(repository, source, commit.sha, is_asked=is_asked)
            commit, objects = await self._read(repository, source, commit.sha, credentials)
            followed = await self._bring(repository, commit, objects, is_asked=is_asked)
        except SteersmanError as error:
            sha = commit.sha if commit is not None else None
            followed = Followed(name, spec.interval, sha, error=error)
        await self._remember(repository, followed, commit, objects)
        return followed

    def _check_size(
        self, repository: Repository, source: GitSource, sha: str, *, is_asked: bool
    ) -> None:
        """Raise what was found of a commit that is too large, and do not fetch it to find it."""
        status, generation = repository.status, repository.metadata.generation
        found = find_condition(status.conditions, READY)
        is_same = (status.seen_commit, status.observed_generation) == (sha, generation)
        is_known = found is not None and found.reason == SourceTooLarge.__name__
        if is_known and is_same and not is_asked:
            raise SourceTooLarge(source_name(source), repository.spec.max_fetch, WAY_OUT)

    async def stands(
        self, url: str, credentials: str | None, refs: Sequence[str]
    ) -> dict[str, str | None]:
        """Return where refs of a repository are; `credentials` names a Secret."""
        return await self._follower.stands(url, refs, await self._credentials(credentials, url))

    async def _credentials(self, name: str | None, url: str) -> Credentials | None:
        if name is None:
            return None
        return credentials_for(name, (await self._session.vault.current([name]))[name], url)

    async def _read(
        self,
        repository: Repository,
        source: GitSource,
        sha: str,
        credentials: Credentials | None,
    ) -> tuple[Commit, tuple[Sourced, ...]]:
        """Return the objects that a commit says; raises what is wrong with it."""
        name, verify = repository.name, repository.spec.verify
        trusted = None
        if verify is not None:
            since = repository.status.applied_commit if verify.mode == "All" else None
            trusted = Trusted(verify.ssh, verify.gpg, since)
        commit, texts = await self._follower.texts(
            *(source, sha, credentials, trusted, repository.spec.max_fetch),
            lambda text: self._session.report.said(name, text),
        )
        objects = load_commit(texts, BASE).objects
        check_followed(objects)
        return commit, objects

    async def _bring(
        self,
        repository: Repository,
        commit: Commit,
        objects: Sequence[Sourced],
        *,
        is_asked: bool,
    ) -> Followed:
        name, interval = repository.name, repository.spec.interval
        is_new = commit.sha != repository.status.applied_commit
        changed = is_new or is_asked or await self._is_changed(name, objects)
        applied = None
        if changed:
            given = await self._secrets.read(objects)
            applied = await self._controller.apply(given, inventory=inventory_of(name))
        pruned = Pruned()
        if repository.spec.prune:
            wanted = {key_of(each.obj) for each in objects}
            pruned = await self._controller.pruner.prune(inventory_of(name), wanted)
        for key, why in pruned.protected.items():
            self._session.report.said(name, f"{key} stays: {why}")
        return Followed(name, interval, commit.sha, applied, pruned)

    async def _is_changed(self, name: str, objects: Sequence[Sourced]) -> bool:
        """Return whether somebody changed or removed what an applied commit says."""
        for each in objects:
            stored = await self._memory.store.get(each.obj.kind, each.obj.name)
            if stored is None:
                return True
            # Of a Secret's values only digests are remembered.
            if isinstance(each.obj, Secret):
                continue
            wanted = dump_object(marked(each.obj, inventory_of(name)))
            if wanted["spec"] != stored.spec or not _has(stored.metadata, wanted["metadata"]):
                return True
        return False

    async def _remember(
        self,
        repository: Repository,
        followed: Followed,
        commit: Commit | None,
        objects: Sequence[Sourced],
    ) -> None:
        status = repository.status
        is_applied = followed.error is None and commit is not None
        seen = followed.commit or status.seen_commit
        changed: dict[str, object] = {
            "observed_generation": repository.metadata.generation,
            "conditions": _conditions(repository, followed),
            "seen_commit": seen,
        }
        if is_applied and commit is not None:
            changed["applied_commit"] = commit.sha
            changed["applied_subject"] = commit.subject
            changed["inventory"] = tuple(sorted(str(key_of(each.obj)) for each in objects))
        new: RepositoryStatus = status.model_copy(update=changed)
        if new == status:
            return
        data = new.model_dump(mode="json", by_alias=True, exclude_none=True)
        await self._memory.store.put_status("Repository", repository.name, data)
        await self._note(repository, followed, commit)

    async def _note(
        self, repository: Repository, followed: Followed, commit: Commit | None
    ) -> None:
        name = repository.name
        if followed.error is not None:
            reason, text = type(followed.error).__name__, first_sentence(str(followed.error))
            is_fault = not isinstance(followed.error, Suspended)
            kind: Literal["Normal", "Warning"] = "Warning" if is_fault else "Normal"
            await self._memory.note("Repository", name, reason, text, type_=kind)
        elif commit is not None and commit.sha != repository.status.applied_commit:
            text = f"commit {commit.sha[:_SHORT]} {commit.subject or ''}".strip()
            await self._memory.note("Repository", name, "Applied", text)


class Suspended(SteersmanError):
    """Somebody wants a repository left alone."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"repository {name} is suspended; set spec.suspend to false, and the annotation"
            " steersman/suspended too, if it has one"
        )


def inventory_of(name: str) -> str:
    """Return which inventory the objects of a repository belong to."""
    return f"repository/{name}"


def _has(metadata: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """Return whether all that is wanted of labels and annotations is there; others may be too."""
    for what in ("labels", "annotations"):
        found, want = metadata.get(what, {}), wanted.get(what, {})
        if not isinstance(found, Mapping) or not isinstance(want, Mapping):
            return False
        if any(found.get(key) != value for key, value in want.items()):
            return False
    return True


def _conditions(repository: Repository, followed: Followed) -> Conditions:
    now = datetime.now(UTC)
    error = followed.error
    fault = error if error is not None else _fault(followed)
    is_stalled = error is not None and not error.retryable and not isinstance(error, Suspended)
    reason = "Applied" if fault is None else type(fault).__name__
    message = f"commit {(followed.commit or '')[:_SHORT]}"
    if fault is not None:
        message = first_sentence(str(fault))
    generation = repository.metadata.generation
    conditions = repository.status.conditions
    for type_, is_true in ((READY, fault is None), (STALLED, is_stalled)):
        new = Condition(
            type=type_,
            status="True" if is_true else "False",
            reason=reason,
            message=message if type_ == READY or is_true else "",
            last_transition_time=now,
            observed_generation=generation,
        )
        conditions = set_condition(conditions, new)
    return conditions


def _fault(followed: Followed) -> SteersmanError | None:
    """Return why what was applied is not there, if it is not."""
    applied = followed.applied
    outcomes = applied.outcomes if applied is not None else ()
    faults = [
        o.error or next(h.error for h in o.hosts if h.error) for o in outcomes if not o.is_good
    ]
    faults += [job.error for job in (applied.jobs if applied is not None else ()) if job.error]
    return next(iter([*faults, *followed.pruned.errors]), None)
