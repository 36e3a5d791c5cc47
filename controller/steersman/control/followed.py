"""What manifests may not say that come from a commit: there is no folder around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from steersman.api.app import App
from steersman.api.host import Host
from steersman.manifests import ManifestErrors, Problem, Sourced

BASE = Path("/dev/null")
"""The folder that relative paths of a commit's manifests count from: nothing can be in it."""


def check_followed(sourced: Sequence[Sourced]) -> None:
    """Raise ManifestErrors where an object means a file or folder of the controller's machine.

    Whoever may push would choose which of them are shipped to hosts.
    """
    problems = [problem for each in sourced for problem in _problems(each)]
    if problems:
        raise ManifestErrors(problems)


def _problems(sourced: Sourced) -> Iterator[Problem]:
    obj = sourced.obj
    if isinstance(obj, App) and obj.spec.source.path is not None:
        yield sourced.problem(
            ("spec", "source", "path"),
            "a folder, and a followed repository has none",
            "git: with the URL of a repository, or package:",
        )
    url = obj.spec.source.git.url if isinstance(obj, App) and obj.spec.source.git else ""
    if url.startswith(("/", "file:")):
        where, what = ("spec", "source", "git", "url"), "a repository on the controller's own disk"
        yield sourced.problem(where, what, "an https:// or ssh:// URL")
    identity = obj.spec.identity if isinstance(obj, Host) else None
    if identity is not None and Path(identity).is_relative_to(BASE):
        allowed = "a path of the controller's machine, or one that begins with ~/"
        yield sourced.problem(("spec", "identity"), "a relative path", allowed)
