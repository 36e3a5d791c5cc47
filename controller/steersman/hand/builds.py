"""Builds and releases as folders: made from blobs, complete or absent."""

from __future__ import annotations

import json
import os

from . import blobs, files, venvs
from .place import Place
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Set

MARK = "build.json"
RECORD = "release.json"
MEMORY = "memory.json"


def make_build(place: Place, app: str, digest: str, manifest: str, python: str) -> None:
    """Make apps/<app>/builds/<digest>/{src,venv}; the mark, written last, says it is whole.

    `manifest` is the blob of a JSON object with `files` [[path, mode, sha256]], `links`
    [[path, target]], `packs` [[wheel's filename, sha256, …]], and whether there is bytecode among
    all these (`compiled`). The folder is built under its final name, and the mark is its commit
    point; `venv` is a link to the one of all builds with these packs.
    """
    folder = place.app(app, "builds", digest)
    if os.path.exists(os.path.join(folder, MARK)):
        return
    files.remove(folder)
    files.make_dir(place.app(app), 0o755)
    files.make_folders(os.path.dirname(folder))
    with open(blobs.path_of(place, manifest), "rb") as file:
        wanted = json.load(file)
    try:
        _make_tree(place, os.path.join(folder, "src"), wanted)
        is_compiled = bool(wanted["compiled"])
        packs = [(name, sha256) for name, sha256, *_ in wanted["packs"]]
        venv = venvs.venv_of(place, app, packs, python, is_compiled)
        os.symlink(os.path.relpath(venv, folder), os.path.join(folder, "venv"))
        if not is_compiled:
            venvs.compile_all(venv, os.path.join(folder, "src"))
        files.sync_tree(folder)
        mark = {"digest": digest, "manifest": manifest, "python": python}
        files.write_file(os.path.join(folder, MARK), json.dumps(mark).encode(), 0o644)
    except BaseException:
        # On a full disk half a build would be in everybody's way until somebody tries again.
        files.remove(folder)
        raise
    files.sync_dir(os.path.dirname(folder))


def _make_tree(place: Place, top: str, wanted: Dict[str, Any]) -> None:
    import shutil

    os.makedirs(top)
    folders = {top}
    for path, mode, sha256 in wanted["files"]:
        target = files.inside(top, path)
        files.make_parents(target, folders)
        blob = blobs.path_of(place, sha256)
        if mode == 0o644:
            os.link(blob, target)
        else:
            shutil.copyfile(blob, target)
            os.chmod(target, mode)
    for path, link in wanted["links"]:
        target = files.inside(top, path)
        files.inside(top, os.path.join(os.path.dirname(path), link))
        files.make_parents(target, folders)
        os.symlink(link, target)


def make_release(place: Place, app: str, name: str, build: str, record: Dict[str, Any]) -> None:
    """Make apps/<app>/releases/<name>/: links to its build and release.json, in one rename.

    What of `record` is under `memory` goes into a file of its own, which the app cannot read: it
    is all that a controller needs to know the app again when its own memory is lost.
    """
    if not os.path.exists(place.app(app, "builds", build, MARK)):
        raise Refused("bad-request", "build %s of %s is not on this host" % (build, app))
    final = place.app(app, "releases", name)
    if os.path.exists(final):
        return
    stage = place.app(app, "releases", ".tmp-" + name)
    files.remove(stage)
    files.make_folders(stage)
    for part in ("src", "venv"):
        os.symlink(os.path.join("..", "..", "builds", build, part), os.path.join(stage, part))
    shown = {key: value for key, value in record.items() if key != "memory"}
    if "memory" in record:
        memory = json.dumps(record["memory"], sort_keys=True).encode()
        files.write_file(os.path.join(stage, MEMORY), memory, 0o600)
    data = json.dumps({**shown, "build": build}, sort_keys=True).encode()
    files.write_file(os.path.join(stage, RECORD), data, 0o644)
    os.rename(stage, final)
    files.sync_dir(os.path.dirname(final))


def records(place: Place, app: str) -> Dict[str, Any]:
    """Return {release: record} of an app, as `make_release` was told; unreadable ones are left out.

    One that an older hand made has no `memory`.
    """
    found = {}
    top = place.app(app, "releases")
    for name in files.entries(top):
        try:
            record = _json(os.path.join(top, name, RECORD))
            if os.path.exists(os.path.join(top, name, MEMORY)):
                record["memory"] = _json(os.path.join(top, name, MEMORY))
            found[name] = record
        except (OSError, ValueError, TypeError):
            continue  # half removed, or edited by hand: it is not to be believed
    return found


def _json(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def used_by(place: Place, app: str, digest: str) -> Set[str]:
    """Return the blobs that a whole build is made of; none while it is not whole."""
    try:
        with open(place.app(app, "builds", digest, MARK), encoding="utf-8") as file:
            return parts_of(place, json.load(file)["manifest"])
    except FileNotFoundError:
        return set()


def parts_of(place: Place, manifest: str) -> Set[str]:
    """Return the blobs that a manifest names, and its own."""
    try:
        with open(blobs.path_of(place, manifest), "rb") as file:
            wanted = json.load(file)
    except FileNotFoundError:
        return set()
    # Builds of a steersman that installed wheels here have no packs, and are whole without them.
    packs = {pack[1] for pack in wanted.get("packs", ())}
    return {manifest, *(f[2] for f in wanted["files"])} | packs
