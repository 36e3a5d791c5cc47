"""The way from a source to its Build: resolve, look it up, else make it once."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import structlog

from steersman.builds.blobs import BlobStore
from steersman.builds.cache import Cache
from steersman.builds.cells import Cells, Policy, Walls
from steersman.builds.children import Progress
from steersman.builds.delivery import Delivery, deliver
from steersman.builds.folders import (
    check_unchanged,
    read_folder,
    source_names,
    unpack,
    walk,
)
from steersman.builds.git import Commit, Git
from steersman.builds.gitcli import GitCli
from steersman.builds.gitnames import inner_folder
from steersman.builds.locks import Locker, check_package
from steersman.builds.model import (
    Build,
    BuildSpec,
    FileEntry,
    GitSource,
    Manifest,
    PackageSource,
    PathSource,
    Resolved,
    Source,
    Wheel,
    digest_of,
    manifest_from,
)
from steersman.builds.packs import Packer
from steersman.builds.paths import Tree
from steersman.builds.platforms import Platform
from steersman.builds.procfile import parse_procfile
from steersman.builds.pythons import check_python
from steersman.builds.requirements import has_local
from steersman.builds.settled import settled
from steersman.builds.steps import make_venv, run_steps
from steersman.builds.text import clean, printable
from steersman.builds.tools import Tools
from steersman.builds.wheels import WheelHouse

# Raised when the same inputs would give another artifact than before.
_BUILDER = 1

log = structlog.get_logger(__name__)


class Builder:
    """Makes Builds on this machine; everything it keeps is below `cache_dir`."""

    def __init__(
        self,
        cache_dir: Path | None = None,
        environ: Mapping[str, str] | None = None,
        walls: Policy = "preferred",
        *,
        settles: bool = False,
    ) -> None:
        """With `settles`, a folder is read when nobody has written to it for a moment."""
        self._environ = os.environ if environ is None else environ
        root = default_cache(self._environ) if cache_dir is None else cache_dir
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._cache = Cache(root)
        self.blobs = BlobStore(root)
        self._git = Git(self._cache, self.blobs, self._environ)
        self._tools = Tools(self._environ)
        self._settles = settles
        self.walls = Walls(self._cache, self._environ, walls)

    def pushing(
        self, folder: Path, ref: str, sha: str, objects: str
    ) -> AbstractContextManager[None]:
        """Let `ref` of a repository here mean a commit that is being pushed; see Git.pushing."""
        return self._git.pushing(folder, ref, sha, objects)

    async def resolve(self, source: Source) -> Resolved:
        """Return the content that `source` means now."""
        if isinstance(source, GitSource):
            commit = await self._git.resolve(source)
            content = "git:" + ":".join(part for part in (commit.sha, inner_folder(source)) if part)
            return Resolved("git", source, commit.sha, content, commit.subject, commit.authored)
        if isinstance(source, PathSource):
            digest = (await self._folder(source, None)).digest
            return Resolved("path", source, f"local-{digest[:12]}", digest)
        package = str(check_package(source.requirement))
        return Resolved("package", source, package, f"package:{package}")

    def find(self, resolved: Resolved, spec: BuildSpec, platform: Platform) -> Build | None:
        """Return the Build of these inputs when it was made before and is still whole."""
        record = self._cache.record("builds", _inputs(resolved, spec, platform))
        if record is None:
            return None
        build = _build_from(record)
        parts: chain[FileEntry | Wheel] = chain(build.manifest.files, build.manifest.wheels)
        whole = all(self.blobs.has(part.sha256, part.size) for part in parts)
        is_fit = build.unwalled is None or self.walls.policy == "preferred"
        return build if whole and is_fit else None

    async def build(
        self, resolved: Resolved, spec: BuildSpec, platform: Platform, progress: Progress
    ) -> Build:
        """Return the Build of these inputs; it is made when nobody made it before."""
        found = self.find(resolved, spec, platform)
        if found is not None:
            return found
        key = _inputs(resolved, spec, platform)
        async with self._cache.locked(f"build-{key}"):
            # Another builder may have made it while this one waited.
            found = self.find(resolved, spec, platform)
            if found is not None:
                return found
            self._cache.sweep()
            build = await self._make(resolved, spec, platform, progress)
            self._cache.keep("builds", key, asdict(build))
        log.info("build_sealed", digest=build.digest, commit=build.commit, platform=build.platform)
        return build

    async def deliver(self, build: Build, platform: Platform, progress: Progress) -> Delivery:
        """Return `build` as a host of `platform` gets it; what it is made of is in `blobs`."""
        return await deliver(build, Packer(self._cache, self.blobs, platform), progress)

    async def _make(
        self, resolved: Resolved, spec: BuildSpec, platform: Platform, progress: Progress
    ) -> Build:
        commit, tree = await self._read(resolved, progress)
        cells = Cells(self.walls)
        locker = Locker(self._cache, cells, self.blobs, self._tools, platform, spec.index)
        house = WheelHouse(self._cache, cells, self.blobs, self._tools, platform, spec.index)
        project = locker.project(tree)
        version_file = locker.text(tree, ".python-version")
        check_python(spec.python, version_file, project.get("project", {}), platform)
        if isinstance(resolved.source, PackageSource):
            lock = await locker.lock_package(resolved.commit, progress)
        else:
            lock = await locker.lock_source(tree, progress)
        with self._cache.scratch() as scratch:
            local = any(direct.is_local for direct in lock.directs) or has_local(lock.origins)
            await self._unpack(tree if local else Tree(), scratch / "dependencies")
            wheels = await house.collect(lock, scratch / "dependencies", progress)
            if spec.steps:
                tree = await self._stepped(tree, spec, wheels, platform, scratch, cells, progress)
            if _installs_itself(project, tree):
                await self._unpack(tree, scratch / "project")
                wheels = (*wheels, await house.build_project(scratch / "project", progress))
        manifest = Manifest(
            platform.python,
            tree.files,
            tree.symlinks,
            tuple(sorted(wheels, key=lambda wheel: wheel.filename)),
            parse_procfile(_named(resolved.source), locker.text(tree, "Procfile") or ""),
        )
        return Build(
            *(manifest.digest, platform.key, commit.sha, manifest),
            *(commit.subject, commit.authored, cells.unwalled),
        )

    async def _read(self, resolved: Resolved, progress: Progress) -> tuple[Commit, Tree]:
        source = resolved.source
        if isinstance(source, GitSource):
            return await self._git.read(source, resolved.commit, progress)
        if isinstance(source, PathSource):
            tree = await self._folder(source, self.blobs)
            check_unchanged(_named(source), tree, resolved.content)
            return Commit(resolved.commit), tree
        return Commit(resolved.commit), Tree()

    async def _folder(self, source: PathSource, blobs: BlobStore | None) -> Tree:
        folder = Path(source.path).expanduser().resolve()
        # What is sealed is compared with what was resolved: it need not rest once more.
        if self._settles and blobs is None:
            await settled(lambda: self.listed(folder))
        names = await source_names(GitCli(self._environ), folder)
        return await asyncio.to_thread(read_folder, folder, names, blobs)

    async def listed(self, folder: Path) -> list[str]:
        """Return the paths of the files that a build of a source folder would have."""
        names = await source_names(GitCli(self._environ), folder)
        paths = [f"{folder}/{name}" for name in names]
        return [path for path in paths if not os.path.islink(path)]

    async def _unpack(self, tree: Tree, folder: Path) -> None:
        folder.mkdir()
        await asyncio.to_thread(unpack, tree, self.blobs, folder)

    async def _stepped(
        self,
        tree: Tree,
        spec: BuildSpec,
        wheels: tuple[Wheel, ...],
        platform: Platform,
        scratch: Path,
        cells: Cells,
        progress: Progress,
    ) -> Tree:
        """Return the tree as the build steps leave it."""
        src, house = scratch / "src", scratch / "dependencies-of-steps"
        await self._unpack(tree, src)
        house.mkdir()
        programs = await make_venv(house, wheels, self.blobs, self._tools, platform, progress)
        async with cells.cell(src, house) as cell:
            await run_steps(spec, src, cell, programs, self._environ, progress)
        return await asyncio.to_thread(lambda: read_folder(src, list(walk(src)), self.blobs))


def default_cache(environ: Mapping[str, str]) -> Path:
    """Return $XDG_CACHE_HOME/steersman."""
    home = environ.get("XDG_CACHE_HOME", "")
    # The specification has relative values ignored.
    base = Path(home) if home.startswith("/") else Path.home() / ".cache"
    return base / "steersman"


def _inputs(resolved: Resolved, spec: BuildSpec, platform: Platform) -> str:
    return digest_of([_BUILDER, resolved.kind, resolved.content, asdict(spec), platform.key])


def _installs_itself(project: Mapping[str, Any], tree: Tree) -> bool:
    """Whether the project must be installed: for its entry points, or for a `src` layout."""
    own = project.get("project", {})
    if any(own.get(table) for table in ("scripts", "gui-scripts", "entry-points")):
        return True
    packages = (file.path.split("/") for file in tree.files)
    in_src = any(parts[0] == "src" and parts[2:] == ["__init__.py"] for parts in packages)
    return "build-system" in project and in_src


def _named(source: Source) -> str:
    if isinstance(source, GitSource):
        return clean(source.url)
    return printable(source.path if isinstance(source, PathSource) else source.requirement)


def _build_from(record: Mapping[str, Any]) -> Build:
    authored = record["authored"]
    return Build(
        digest=record["digest"],
        platform=record["platform"],
        commit=record["commit"],
        manifest=manifest_from(record["manifest"]),
        subject=record["subject"],
        authored=None if authored is None else datetime.fromisoformat(authored),
        unwalled=record.get("unwalled"),
    )
