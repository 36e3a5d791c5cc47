"""Which release an app should run: the one it has, a new one, or an older one again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from steersman.api.app import App
from steersman.api.app import Build as BuildSpec
from steersman.api.errors import SteersmanError
from steersman.api.meta import API_VERSION, ObjectMeta
from steersman.api.names import release_name
from steersman.api.release import Release, ReleaseSpec, ReleaseTemplate
from steersman.builds import Build, Platform, Resolved
from steersman.control.artifacts import Artifacts, platform_of, resolved_again
from steersman.control.binding import Binding
from steersman.control.fixed import FixedValues, Secrets
from steersman.control.hosts import HostLink
from steersman.control.marks import is_pinned
from steersman.control.release import (
    ADOPTED,
    counted,
    digest_again,
    find_release,
    from_procfile,
    is_asked,
    kept,
    next_number,
    release_digest,
)
from steersman.control.session import Session, WantedKey
from steersman.control.statsd import statsd_ports
from steersman.control.target import Wanted, env_digest, release_folder
from steersman.planning.placement import Shares
from steersman.planning.target import BuildTarget

Aim = Literal["newest", "under way", "stays"]
"""Which release is meant: what the source is now, the one being rolled out, or the same source."""


class RouteLost(SteersmanError):
    """A route leads to a process that the Procfile does not have."""


class Chooser:
    """Makes releases, and says what a host needs to run one."""

    def __init__(
        self,
        session: Session,
        artifacts: Artifacts,
        pretended: Secrets,
        *,
        is_dry: bool,
        binding: Binding | None = None,
    ) -> None:
        self._session = session
        self._memory = session.memory
        self._values = FixedValues(session.vault, pretended)
        self._report = session.report
        self._artifacts = artifacts
        self._is_dry = is_dry
        self._binding = binding

    async def choose(
        self, app: App, links: list[HostLink], shares: Shares, aim: Aim = "newest"
    ) -> Release:
        """Return the release that `app` should run, made now unless it exists.

        `shares` matter where their change is a hand-over. One that goes on "under way" is the
        newest if that is: who promotes a release means this one, not what came after it. One that
        "stays" with its source asks no server what became of that since.
        """
        releases = await self._memory.releases(app.name)
        if aim == "under way" and releases and releases[-1].status.state == "pending":
            return releases[-1]
        pinned = is_pinned(app)
        if pinned is not None:
            return await self._again(app, pinned, releases)
        counting = counted(releases)
        known = counting[-1] if counting and aim == "stays" else None
        resolved, versions, digest = await self._asked(app, shares, known)
        newest = counting[-1] if counting else None
        if newest is not None and is_asked(newest, digest):
            return self._checked(newest)
        if newest and await self._holds(app, newest, resolved.content, shares, links):
            return await self._recognised(newest, versions, digest)
        template = await self._template(app, resolved, links)
        is_commit = resolved.kind == "git"
        spec = ReleaseSpec(
            app=app.name,
            number=next_number(releases, await _numbers_on(links, app.name)),
            source=app.spec.source,
            build=app.spec.build,
            content=resolved.content,
            commit=resolved.commit if is_commit else None,
            ref=app.spec.source.git.ref if app.spec.source.git is not None else resolved.commit,
            builds={},
            digest=digest,
            template=template,
            secret_versions=versions,
        )
        what = f"{resolved.commit[:12]} {resolved.subject or ''}".strip()
        return await self._remember(app, spec, f"release {spec.number}: {what}")

    async def newer(self, app: App, shares: Shares) -> str | None:
        """Return the digest that `app` now asks for if its newest release is another."""
        releases = counted(await self._memory.releases(app.name))
        if is_pinned(app) is not None or not releases:
            return None
        digest = (await self._asked(app, shares))[2]
        return None if is_asked(releases[-1], digest) else digest

    async def _asked(
        self, app: App, shares: Shares, known: Release | None = None
    ) -> tuple[Resolved, dict[str, str], str]:
        """Return what the source resolves to, the Secrets' versions, and the digest of it all.

        A `known` release of the same source says what that resolved to when it was made.
        """
        versions = await self._values.versions(app.spec.config.secrets)
        if self._binding is not None:
            # What a branch has come to since does not matter: the plan was of this.
            resolved = self._binding.resolved(app.spec.source)
        elif known is not None and known.spec.source == app.spec.source:
            resolved = resolved_again(known)
        else:
            resolved = await self._artifacts.resolve(app.spec.source)
        return resolved, versions, release_digest(app, resolved.content, versions, shares)

    async def _holds(
        self, app: App, newest: Release, content: str, shares: Shares, links: list[HostLink]
    ) -> bool:
        """Return whether an adopted release is what is asked for, as far as hosts can tell.

        Its Secrets' versions are of a lost key, so that the values themselves are compared: by the
        digest of the file of variables that the hosts have of it.
        """
        fixed = newest.spec.secret_versions
        if newest.metadata.annotations.get(ADOPTED) != "" or set(fixed) != {
            *app.spec.config.secrets
        }:
            return False
        if release_digest(app, content, fixed, shares) != newest.spec.digest:
            return False
        values = await self._values.current(app.spec.config.secrets)
        digest = env_digest(newest, {k: v for each in values.values() for k, v in each.items()})
        seen = [(await link.observe()).app(app.name).envs for link in links]
        found = [envs.get(str(newest.spec.number)) for envs in seen]
        there = [file.sha256 for file in found if file is not None]
        return bool(there) and set(there) == {digest}

    async def _recognised(
        self, release: Release, versions: Mapping[str, str], digest: str
    ) -> Release:
        """Remember an adopted release as what is asked for; its folders keep their name."""
        annotations = {**release.metadata.annotations, ADOPTED: digest}
        metadata = release.metadata.model_copy(update={"annotations": annotations})
        spec = release.spec.model_copy(update={"secret_versions": dict(versions)})
        known = self._checked(release.model_copy(update={"metadata": metadata, "spec": spec}))
        return known if self._is_dry else await self._memory.put_release(known)

    async def renumbered(self, app: App, release: Release, links: list[HostLink]) -> Release:
        """Return `release` under a number that no host knows: another controller took its own."""
        releases = await self._memory.releases(app.name)
        seen = await _numbers_on(links, app.name)
        spec = release.spec.model_copy(update={"number": next_number(releases, seen)})
        was = release.spec.number
        await self._memory.store.delete("Release", release.name)
        return await self._remember(
            app, spec, f"release {spec.number}: what was to be release {was}"
        )

    async def _template(
        self, app: App, resolved: Resolved, links: list[HostLink]
    ) -> ReleaseTemplate:
        spec = app.spec
        processes = {name: each.template() for name, each in spec.processes.items()}
        if not processes:
            platform = platform_of(links[0], spec.build)
            build = await self._built(app, resolved, spec.build, platform)
            found = from_procfile(build.manifest.procfile)
            processes = {name: each.template() for name, each in found.items()}
            _check_routes(app, processes)
        return ReleaseTemplate(
            config=spec.config, release=spec.release, processes=processes, user=spec.user
        )

    async def _again(self, app: App, number: int, releases: list[Release]) -> Release:
        """Return a release like `number`: the newest if it is, else a new number.

        Its secrets are those of now: what was rotated since would not let it in anywhere.
        """
        old = find_release(app.name, number, releases).spec
        versions = await self._values.versions(old.template.config.secrets)
        digest = digest_again(old, app, versions)
        counting = counted(releases)
        if counting and is_asked(counting[-1], digest):
            return self._checked(counting[-1])
        again = {"number": next_number(releases, []), "digest": digest}
        spec = old.model_copy(update={**again, "secret_versions": versions})
        return await self._remember(app, spec, f"release {spec.number}: as release {number}")

    async def _remember(self, app: App, spec: ReleaseSpec, what: str) -> Release:
        ports = statsd_ports(spec, await self._memory.every_release())
        spec = spec.model_copy(update={"statsd": ports})
        meta = ObjectMeta(name=release_name(app.name, spec.number), owner_references=(app.ref,))
        release = self._checked(Release(api_version=API_VERSION, metadata=meta, spec=spec))
        self._report.said(app.name, what)
        if not self._is_dry:
            await self._memory.put_release(release)
            await self._memory.note("App", app.name, "ReleaseMade", what)
        return release

    def _checked(self, release: Release) -> Release:
        """Return the release if it is what a plan says; raises PlanOutdated."""
        if self._binding is not None:
            self._binding.check_release(release.spec)
        return release

    async def wanted(
        self,
        app: App,
        release: Release,
        releases: list[Release],
        links: list[HostLink],
        shares: Shares,
    ) -> dict[str, Wanted]:
        """Return what each host should run; builds for each platform among them."""
        secrets = await self._values.of(release)
        keep = frozenset(
            release_folder(r) for r in kept(releases, app.spec.history, release.spec.number)
        )
        is_newest = all(r.spec.number <= release.spec.number for r in releases)
        made: dict[WantedKey, Wanted] = {}
        targets: dict[str, BuildTarget] = {}
        wanted: dict[str, Wanted] = {}
        for link in links:
            platform = platform_of(link, release.spec.build)
            if platform.key not in targets:
                targets[platform.key] = await self._build(app, release, platform)
            share = shares.get(link.name, {})
            key = (app.name, platform.key, tuple(sorted(share.items())))
            if key not in made:
                new = Wanted(app, release, targets[platform.key], secrets, keep, is_newest, share)
                # One object for equal ones: hosts then tell by identity that nothing changed.
                if self._session.wanted.get(key) != new:
                    self._session.wanted[key] = new
                made[key] = self._session.wanted[key]
            wanted[link.name] = made[key]
        return wanted

    async def _build(self, app: App, release: Release, platform: Platform) -> BuildTarget:
        # As it was resolved then: a branch that moved on does not change an older release.
        resolved = resolved_again(release)
        build = await self._built(app, resolved, release.spec.build, platform)
        return await self._artifacts.target(build, platform, partial(self._report.said, app.name))

    async def _built(
        self, app: App, resolved: Resolved, spec: BuildSpec, platform: Platform
    ) -> Build:
        say = partial(self._report.said, app.name)
        build = await self._artifacts.build(resolved, spec, platform, say)
        news = None if self._is_dry else self._artifacts.news(app.name, build)
        if news is not None:
            await self._memory.note("App", app.name, "BuiltWithoutWalls", news, type_="Warning")
        return build


def _check_routes(app: App, processes: Mapping[str, object]) -> None:
    for route in app.spec.routes:
        if route.process is not None and route.process not in processes:
            raise RouteLost(
                f"app {app.name}: the route {route.host}{route.path} leads to process"
                f" {route.process}, and its Procfile has {', '.join(processes) or 'none'};"
                " change spec.routes or the Procfile"
            )


async def _numbers_on(links: Sequence[HostLink], app: str) -> list[int]:
    return await asyncio.gather(*(_number_on(link, app) for link in links))


async def _number_on(link: HostLink, app: str) -> int:
    """Return the highest release number of `app` that a host has."""
    names = (await link.observe()).app(app).releases
    return max([int(n.partition("-")[0]) for n in names if n.partition("-")[0].isdigit()] or [0])
