"""Builds in the words of control: from an app's source to what a host should hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from steersman import builds
from steersman.api.app import Build as BuildSpec
from steersman.api.release import Release
from steersman.api.source import Source
from steersman.builds import Builder, Platform, Resolved
from steersman.control.hosts import HostLink
from steersman.planning.target import BuildTarget

Say = Callable[[str], None]


def builder_source(source: Source) -> builds.Source:
    """Return an App's source as the builder names it."""
    if source.git is not None:
        return builds.GitSource(source.git.url, source.git.ref, source.git.path)
    if source.path is not None:
        return builds.PathSource(source.path)
    return builds.PackageSource(source.package or "")


def resolved_again(release: Release) -> Resolved:
    """Return what the release's source resolved to when it was made."""
    spec = release.spec
    kind: Literal["git", "path", "package"] = "package"
    if spec.source.git is not None:
        kind = "git"
    elif spec.source.path is not None:
        kind = "path"
    commit = spec.commit or spec.ref or spec.content
    return Resolved(kind, builder_source(spec.source), commit, spec.content)


def unwalled(why: str) -> str:
    """Return the sentence for a build that ran programs of strangers as who we are."""
    return f"built without walls: {why}; its programs could read what steer reads"


def platform_of(link: HostLink, spec: BuildSpec) -> Platform:
    """Return the platform that an app's build for this host is made for."""
    hello = link.hello
    python = str(hello["python"])
    wanted = ".".join((spec.python or "").split(".")[:2])
    if wanted and wanted in hello["pythons"]:
        python = wanted
    libc = hello["libc"]
    return Platform(python, str(hello["machine"]), (str(libc[0]), str(libc[1])))


class Artifacts:
    """Resolves and builds, each thing once at a time in this process."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        # One builder saturates this machine; hosts are waited for elsewhere.
        self._one = asyncio.Lock()
        self._told: set[tuple[str, str]] = set()

    async def walls_missing(self) -> str | None:
        """Return why builds can have no walls on this machine, or None."""
        return await self._builder.walls.missing()

    def pushing(
        self, folder: Path, ref: str, sha: str, objects: str
    ) -> AbstractContextManager[None]:
        """Let `ref` of a repository here mean a commit that is being pushed; see Git.pushing."""
        return self._builder.pushing(folder, ref, sha, objects)

    async def resolve(self, source: Source) -> Resolved:
        return await self._builder.resolve(builder_source(source))

    async def listed(self, source: Source) -> list[str]:
        """Return the files of a folder that is an app's source."""
        return await self._builder.listed(Path(source.path or "").expanduser().resolve())

    async def build(
        self, resolved: Resolved, spec: BuildSpec, platform: Platform, say: Say
    ) -> builds.Build:
        """Return the Build for `platform`; made only if nobody made it before."""
        wanted = builds.BuildSpec(spec.python, spec.steps, spec.index)
        found = self._builder.find(resolved, wanted, platform)
        if found is not None:
            return found
        async with self._one:
            say(f"building {resolved.commit[:12]} for {platform.key}")
            build = await self._builder.build(resolved, wanted, platform, say)
        if build.unwalled is not None:
            say(unwalled(build.unwalled))
        return build

    def news(self, app: str, build: builds.Build) -> str | None:
        """Return what is to be said of an app's build, or None once it was told."""
        key = app, build.digest
        if build.unwalled is None or key in self._told:
            return None
        self._told.add(key)
        return unwalled(build.unwalled)

    async def target(self, build: builds.Build, platform: Platform, say: Say) -> BuildTarget:
        """Return what a host of `platform` should hold, as the builder delivers it."""
        made = await self._builder.deliver(build, platform, say)
        return BuildTarget(build.digest, made.manifest, platform.python, made.blobs)
