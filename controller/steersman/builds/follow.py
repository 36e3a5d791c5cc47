"""Repositories of manifests: where a ref stands, and what the manifests of a commit say."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from steersman.builds.blobs import BlobStore
from steersman.builds.cache import Cache
from steersman.builds.children import Progress
from steersman.builds.credentials import Credentials, lent
from steersman.builds.git import MOST_FETCHED, Commit, Git
from steersman.builds.gitcli import GitCli
from steersman.builds.gitnames import source_name
from steersman.builds.model import GitSource
from steersman.builds.signatures import Trusted, check_signatures

WAY_OUT = "take large files out of it, or raise spec.maxFetch"
"""Of a repository that sends more than it may."""


class Follower:
    """Looks at repositories with whatever credentials each needs; keeps mirrors in the cache."""

    def __init__(self, cache_dir: Path, environ: Mapping[str, str] | None = None) -> None:
        cache_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._environ = os.environ if environ is None else environ
        self._cache = Cache(cache_dir)
        self._blobs = BlobStore(cache_dir)

    async def resolve(self, source: GitSource, credentials: Credentials | None) -> Commit:
        """Return what the ref means now."""
        with self._git(credentials) as git:
            return await git.resolve(source)

    async def stands(
        self, url: str, refs: Sequence[str], credentials: Credentials | None
    ) -> dict[str, str | None]:
        """Return where branches and tags of a repository are, None for those it does not have."""
        with self._git(credentials) as git:
            return await git.stands(url, refs)

    async def texts(
        self,
        source: GitSource,
        sha: str,
        credentials: Credentials | None,
        trusted: Trusted | None,
        most: int,
        progress: Progress,
    ) -> tuple[Commit, dict[str, bytes]]:
        """Return a commit and its manifests by path; raises NotSigned before one is read.

        `most` is how many bytes the repository may send for it.
        """
        with self._git(credentials, most) as git:
            commit, folder = await git.fetch(source, sha, progress)
            if trusted is not None:
                plain, name = GitCli(self._environ), source_name(source)
                new = [sha, *await git.since(source, sha, trusted.since, progress)]
                await check_signatures(plain, folder, name, new, trusted, self._cache)
            return commit, await git.texts(source, sha, progress)

    @contextmanager
    def _git(self, credentials: Credentials | None, most: int = MOST_FETCHED) -> Iterator[Git]:
        with lent(credentials, self._cache) as extra:
            yield Git(self._cache, self._blobs, self._environ, extra, most, WAY_OUT)
