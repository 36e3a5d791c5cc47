"""What a pushed manifest may say: one app and what is its own, and nothing of anybody else's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from steersman.api.app import App
from steersman.api.job import Job
from steersman.api.secret import Secret
from steersman.api.source import GitSource, Source
from steersman.control.followed import BASE
from steersman.manifests import ManifestErrors, Problem, Sourced


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered of everybody: `users` are the apps that use each Secret there is,
    `jobs` the app of each Job."""

    app: App
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    jobs: Mapping[str, str] = field(default_factory=dict)


def own_objects(sourced: Sequence[Sourced], standing: Standing) -> tuple[Sourced, ...]:
    """Return the objects of a pushed manifest, `source: {path: .}` meaning the repository itself.

    Raises ManifestErrors with everything that is not the app's own.
    """
    problems = [problem for each in sourced for problem in _problems(each, sourced, standing)]
    if problems:
        raise ManifestErrors(problems)
    return tuple(_sourced_here(each, standing.app) for each in sourced)


def _problems(sourced: Sourced, all_: Sequence[Sourced], standing: Standing) -> Iterator[Problem]:
    obj, name = sourced.obj, standing.app.name
    if isinstance(obj, App):
        brought = {each.obj.name for each in all_ if isinstance(each.obj, Secret)}
        yield from _app_problems(sourced, obj, brought, standing)
    elif isinstance(obj, Job):
        if obj.spec.app != name:
            yield sourced.problem(("spec", "app"), obj.spec.app, name)
        if standing.jobs.get(obj.name, name) != name:
            what = f"job {obj.name}, which is another app's"
            yield sourced.problem(("metadata", "name"), what, "a name that is not taken")
    elif isinstance(obj, Secret):
        if not _is_own(obj.name, standing):
            what = f"secret {obj.name}, which is not this app's alone"
            yield sourced.problem(("metadata", "name"), what, "a name that is not taken")
    else:
        allowed = (
            f"App {name}, its Jobs and its Secrets; others are applied by who looks after them"
        )
        yield sourced.problem(("kind",), obj.kind, allowed)


def _app_problems(
    sourced: Sourced, app: App, brought: set[str], standing: Standing
) -> Iterator[Problem]:
    before = standing.app
    if app.name != before.name:
        yield sourced.problem(("metadata", "name"), app.name, before.name)
        return
    if not _is_here(app.spec.source, before):
        what = "another source than the repository that was pushed to"
        yield sourced.problem(("spec", "source"), what, "{path: .}, or a folder of it")
    if app.spec.user is not None and app.spec.user != before.spec.user:
        allowed = before.spec.user or "none: who looks after the hosts sets it with steer apply"
        yield sourced.problem(("spec", "user"), app.spec.user, allowed)
    for number, name in enumerate(app.spec.config.secrets):
        known = name in before.spec.config.secrets
        if not known and not (name in brought and _is_own(name, standing)):
            what = f"secret {name}, which is not this app's"
            allowed = "one that this manifest brings, or that was given to the app by steer apply"
            yield sourced.problem(("spec", "config", "secrets", number), what, allowed)


def _is_own(secret: str, standing: Standing) -> bool:
    """Whether a Secret is new, or used by this app and no other."""
    users = standing.users.get(secret)
    return users is None or users == {standing.app.name}


def _is_here(source: Source, before: App) -> bool:
    if source.path is not None:
        return Path(source.path).is_relative_to(BASE)
    git, ours = source.git, before.spec.source.git
    return git is not None and ours is not None and (git.url, git.ref) == (ours.url, ours.ref)


def _sourced_here(sourced: Sourced, before: App) -> Sourced:
    app, ours = sourced.obj, before.spec.source.git
    if not isinstance(app, App) or app.spec.source.path is None or ours is None:
        return sourced
    inner = str(Path(app.spec.source.path).relative_to(BASE))
    path = None if inner == "." else inner
    source = Source(git=GitSource(url=ours.url, ref=ours.ref, path=path))
    spec = app.spec.model_copy(update={"source": source})
    return replace(sourced, obj=app.model_copy(update={"spec": spec}))
