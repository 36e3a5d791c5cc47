"""What nothing refers to any more: releases past their time, and what they were made of."""

from __future__ import annotations

import os

from . import blobs, files
from .builds import MARK, used_by
from .place import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Set


def collect(
    place: Place, app: str, releases: List[str], builds: List[str], envs: List[str], held: Set[str]
) -> None:
    """Remove the named releases, builds and env files of `app`, and blobs nothing refers to.

    Builds that a crash left without their mark go as well: an app's steps never run side by side.
    The releases go last: while one is there, whoever comes after a crash collects again.
    """
    for digest in files.entries(place.app(app, "builds")):
        folder = place.app(app, "builds", digest)
        if digest in builds or not os.path.exists(os.path.join(folder, MARK)):
            files.remove(folder)
    sweep_venvs(place, app)
    for name in envs:
        files.remove(place.app(app, "env", name))
    for part in ("releases", "builds", "venvs", "env"):
        files.clean_temporaries(place.app(app, part))
    sweep_blobs(place, held)
    for name in releases:
        files.remove(place.app(app, "releases", name))


def sweep_venvs(place: Place, app: str) -> None:
    """Delete the venvs that no build of `app` links to."""
    builds = files.entries(place.app(app, "builds"))
    links = [files.read_link(place.app(app, "builds", digest, "venv")) for digest in builds]
    used = {os.path.basename(link) for link in links if link is not None}
    for name in files.entries(place.app(app, "venvs")):
        if name not in used:
            files.remove(place.app(app, "venvs", name))


def sweep_blobs(place: Place, held: Set[str]) -> None:
    """Delete the blobs that no build on this host is made of, but `held`."""
    used = set(held)
    for app in files.entries(os.path.join(place.root, "apps")):
        for digest in files.entries(place.app(app, "builds")):
            used |= used_by(place, app, digest)
    if used:
        used.add(blobs.own_digest())
    for name in files.entries(place.store):
        if name not in used:
            files.remove(os.path.join(place.store, name))
    blobs.sweep_partial(place, held)
