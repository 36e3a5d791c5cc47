"""Repositories: which commit a ref means, and what that commit holds."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from steersman.builds.blobs import BlobStore
from steersman.builds.cache import Cache
from steersman.builds.children import Finished, Progress
from steersman.builds.errors import RefNotFound, SourceTooLarge, SourceUnreachable
from steersman.builds.gitcli import GitCli, reason
from steersman.builds.githistory import read_new
from steersman.builds.gitnames import (
    ABBREVIATED,
    COMMIT,
    check_git_source,
    local_folder,
    meanings,
    mirror_name,
    source_name,
)
from steersman.builds.gittexts import read_texts
from steersman.builds.gittree import read_tree
from steersman.builds.model import GitSource
from steersman.builds.paths import Tree
from steersman.builds.text import printable

MOST_SAID = 64 * 2**20
"""Bytes that a server may name its refs with."""
_FETCH_SECONDS = 900.0
MOST_FETCHED = 4 * 10**9
"""Bytes that one fetch of an app's source may bring, packed."""
_SHOWN_REFS = 20
_SUBJECT_LIMIT = 200
# The documented way to make a shallow repository whole.
_WHOLE = "--depth=2147483647"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit's full name, and what its author wrote when that is already known here."""

    sha: str
    subject: str | None = None
    authored: datetime | None = None


class Git:
    """Reads repositories: local ones in place, others through bare mirrors in the cache."""

    def __init__(
        self,
        cache: Cache,
        blobs: BlobStore,
        environ: Mapping[str, str],
        extra: Mapping[str, str] | None = None,
        most: int = MOST_FETCHED,
        way_out: str = "take large files out of it, or release the app as a package",
    ) -> None:
        self._cache = cache
        self._blobs = blobs
        self._git = GitCli(environ, extra)
        self._most, self._way_out = most, way_out
        self._pushed: dict[tuple[Path, str], str] = {}

    async def resolve(self, source: GitSource) -> Commit:
        """Return what `source.ref` means now: a branch, else a tag, else a commit."""
        check_git_source(source)
        folder = local_folder(source.url)
        if folder is not None:
            commit = await self._look_up(source, folder, source.ref)
        elif COMMIT.fullmatch(source.ref):
            commit = self._known(source.ref)
        else:
            commit = await self._resolve_remote(source)
        if commit is None:
            raise await self._not_found(source)
        return commit

    async def read(self, source: GitSource, sha: str, progress: Progress) -> tuple[Commit, Tree]:
        """Return the commit and its tree, blobs stored; it is fetched when it is not here yet."""
        commit, folder = await self.fetch(source, sha, progress)
        return commit, await read_tree(self._git, folder, source, sha, self._blobs, progress)

    async def texts(self, source: GitSource, sha: str, progress: Progress) -> dict[str, bytes]:
        """Return the manifests in a commit's tree by their paths; it is fetched like a source."""
        _, folder = await self.fetch(source, sha, progress)
        return await read_texts(self._git, folder, source, sha, progress)

    async def fetch(self, source: GitSource, sha: str, progress: Progress) -> tuple[Commit, Path]:
        """Return a commit and the bare repository here that holds it now."""
        check_git_source(source)
        folder = local_folder(source.url) or self._mirror(source)
        commit = await self._look_up(source, folder, sha) if folder.is_dir() else None
        if commit is None and local_folder(source.url) is None:
            commit = await self._fetch_commit(source, folder, sha, progress)
        if commit is None:
            raise await self._not_found(replace(source, ref=sha))
        return commit, folder

    async def since(
        self, source: GitSource, sha: str, base: str | None, progress: Progress
    ) -> list[str]:
        """Return the commits before `sha` that are not before `base`; none without a base.

        Raises HistoryUnknown where the repository here does not have all of them.
        """
        if base is None or base == sha:
            return []
        folder = local_folder(source.url)
        if folder is None:
            folder = self._mirror(source)
            async with self._cache.locked(f"git-{folder.stem}"):
                progress(f"fetching the history of {sha[:12]} from {source_name(source)}")
                refspec = f"+{sha}:refs/steersman/{sha}"
                await self._fetch(source, folder, [_WHOLE], [refspec], progress)
        return await read_new(self._git, folder, source_name(source), sha, base)

    @contextmanager
    def pushing(self, folder: Path, ref: str, sha: str, objects: str) -> Iterator[None]:
        """Let `ref` (a full name) of a repository here mean a commit that is being pushed to it.

        Its objects are in a folder of their own until somebody says that they may stay.
        """
        self._pushed[folder, ref] = sha
        try:
            with self._git.lending(folder, objects):
                yield
        finally:
            del self._pushed[folder, ref]

    async def _look_up(self, source: GitSource, folder: Path, ref: str) -> Commit | None:
        """Ask one process for every meaning of `ref` at once; the first that exists wins."""
        names = dict.fromkeys((*meanings(ref), ref))
        tries = "".join(f"{self._pushed.get((folder, n), n)}^{{commit}}\n" for n in names)
        done = await self._git.run(["cat-file", "--batch"], folder, stdin=tries.encode())
        _check(source, done)
        rest = done.stdout
        while rest:
            header, _, rest = rest.partition(b"\n")
            words = header.split(b" ")
            if len(words) == 3 and words[1] == b"commit":
                return self._remember(words[0].decode(), rest[: int(words[2])])
        return None

    async def _resolve_remote(self, source: GitSource) -> Commit | None:
        mirror, short = self._mirror(source), ABBREVIATED.fullmatch(source.ref) is not None
        if short and mirror.is_dir():
            known = await self._look_up(source, mirror, source.ref)
            if known is not None:
                return known
        sha = (await self.stands(source.url, [source.ref]))[source.ref]
        if sha is not None:
            return self._known(sha)
        if not short:
            return None
        # Only the whole history tells what a short commit stands for.
        async with self._cache.locked(f"git-{mirror.stem}"):
            await self._fetch_all(source, mirror, None)
        return await self._look_up(source, mirror, source.ref)

    async def stands(self, url: str, refs: Sequence[str]) -> dict[str, str | None]:
        """Return the commits that branches and tags of a repository are at: one question for all.

        None stands for those that it does not have.
        """
        for ref in refs:
            check_git_source(GitSource(url, ref))
        names = {ref: meanings(ref) for ref in refs}
        every = dict.fromkeys(name for each in names.values() for name in each)
        words = [word for name in every for word in (name, f"{name}^{{}}")]
        found = await self._refs(GitSource(url), words) if words else {}
        # `^{}` is what an annotated tag is about, the plain name only its own object.
        commits = {name: found.get(f"{name}^{{}}", found.get(name)) for name in every}
        return {
            ref: next((sha for name in each if (sha := commits[name]) is not None), None)
            for ref, each in names.items()
        }

    async def _refs(self, source: GitSource, patterns: Sequence[str]) -> dict[str, str]:
        words = ["ls-remote", "--end-of-options", source.url, *patterns]
        done = await self._git.run(words, most=MOST_SAID)
        _check(source, done)
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        pairs = (line.partition("\t") for line in lines)
        return {name: sha for sha, _, name in pairs if COMMIT.fullmatch(sha)}

    async def _not_found(self, source: GitSource) -> RefNotFound:
        folder = local_folder(source.url)
        if folder is None:
            names = sorted(await self._refs(source, ["refs/heads/*", "refs/tags/*"]))
        else:
            words = ["for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags"]
            done = await self._git.run(words, folder)
            names = done.stdout.decode("utf-8", "replace").splitlines()
        known = [printable(name.split("/", 2)[2]) for name in names if not name.endswith("^{}")]
        near = difflib.get_close_matches(source.ref, known, n=3)
        return RefNotFound(source_name(source), printable(source.ref), near, known[:_SHOWN_REFS])

    async def _fetch_commit(
        self, source: GitSource, mirror: Path, sha: str, progress: Progress
    ) -> Commit | None:
        async with self._cache.locked(f"git-{mirror.stem}"):
            progress(f"fetching {sha[:12]} from {source_name(source)}")
            try:
                refspec = f"+{sha}:refs/steersman/{sha}"
                await self._fetch(source, mirror, ["--depth=1"], [refspec], progress)
            except SourceUnreachable:
                # Some servers give only what a branch or a tag points to.
                await self._fetch_all(source, mirror, progress)
        return await self._look_up(source, mirror, sha)

    async def _fetch_all(self, source: GitSource, mirror: Path, progress: Progress | None) -> None:
        refspecs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
        await self._fetch(source, mirror, ["--prune", _WHOLE], refspecs, progress)

    async def _fetch(
        self,
        source: GitSource,
        mirror: Path,
        options: Sequence[str],
        refspecs: Sequence[str],
        progress: Progress | None,
    ) -> None:
        await self._prepare(source, mirror)
        words = ["fetch", "--no-tags", "--no-write-fetch-head", *options, "--end-of-options"]
        words += [source.url, *refspecs]
        most = self._most
        done = await self._git.run(
            words, mirror, seconds=_FETCH_SECONDS, progress=progress, largest=most
        )
        if done.code != 0 and _forget_half(mirror) >= most:
            raise SourceTooLarge(source_name(source), most, self._way_out)
        _check(source, done)

    async def _prepare(self, source: GitSource, mirror: Path) -> None:
        """Make the mirror whole or not at all; its lock is held."""
        if not mirror.is_dir():
            mirror.parent.mkdir(parents=True, exist_ok=True)
            with self._cache.scratch() as scratch:
                fresh = scratch / "mirror"
                words = ["init", "--quiet", "--bare", "--template=", "--end-of-options"]
                _check(source, await self._git.run([*words, str(fresh)]))
                fresh.rename(mirror)
        _forget_half(mirror)
        # With our lock held, git's own locks are those of a killed builder.
        for stale in (*mirror.glob("*.lock"), *mirror.glob("refs/**/*.lock")):
            stale.unlink()

    def _mirror(self, source: GitSource) -> Path:
        return self._cache.root / "git" / f"{mirror_name(source.url)}.git"

    def _known(self, sha: str) -> Commit:
        record = self._cache.record("commits", sha)
        if record is None:
            return Commit(sha)
        authored = record["authored"]
        when = None if authored is None else datetime.fromtimestamp(authored, UTC)
        return Commit(sha, record["subject"], when)

    def _remember(self, sha: str, content: bytes) -> Commit:
        if self._cache.record("commits", sha) is None:
            subject, authored = _described(content)
            self._cache.keep("commits", sha, {"subject": subject, "authored": authored})
        return self._known(sha)


def _forget_half(mirror: Path) -> int:
    """Remove what a fetch that failed has left of its pack; return the size of the largest."""
    left = [(file, file.stat().st_size) for file in mirror.glob("objects/pack/tmp_*")]
    for file, _ in left:
        file.unlink()
    return max([size for _, size in left], default=0)


def _check(source: GitSource, done: Finished) -> None:
    if done.code != 0:
        raise SourceUnreachable(source_name(source), reason(done))


def _described(content: bytes) -> tuple[str, int | None]:
    """Return the subject line and the author's time of a raw commit object."""
    head, _, message = content.decode("utf-8", "replace").partition("\n\n")
    subject = printable(message.strip().partition("\n")[0], _SUBJECT_LIMIT)
    author = next((line for line in head.split("\n") if line.startswith("author ")), "")
    words = author.rsplit(" ", 2)
    # Far beyond the year 9999 a time is a joke, and datetime cannot hold it.
    plausible = len(words) == 3 and words[1].isdigit() and int(words[1]) < 1 << 37
    return subject, int(words[1]) if plausible else None
