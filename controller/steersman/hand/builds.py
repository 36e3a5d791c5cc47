"""Builds and releases as folders: made from blobs, complete or absent."""

from __future__ import annotations

import json
import os
import sys
import threading

from . import blobs, files
from .place import Place, must, run
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Set

MARK = "build.json"
VENV_MARK = "steersman.json"
_UNPACK = (
    "import gzip, shutil, sys\n"
    "with gzip.open(sys.argv[1]) as source, open(sys.argv[2], 'wb') as target:\n"
    "    shutil.copyfileobj(source, target, 1 << 20)"
)

# Apps are built side by side and share programs and wheels.
_sharing = threading.Lock()


def make_build(place: Place, app: str, digest: str, manifest: str, uv: str, python: str) -> None:
    """Make apps/<app>/builds/<digest>/{src,venv}; the mark, written last, says it is whole.

    `manifest` is the blob of a JSON object with `files` [[path, mode, sha256]], `links`
    [[path, target]] and `wheels` [[filename, sha256]]. The folder is built under its final name,
    and the mark is its commit point; `venv` is a link to the one of all builds with these wheels.
    """
    folder = place.app(app, "builds", digest)
    if os.path.exists(os.path.join(folder, MARK)):
        return
    files.remove(folder)
    files.make_dir(place.app(app), 0o755)
    with open(blobs.path_of(place, manifest), "rb") as file:
        wanted = json.load(file)
    try:
        _make_tree(place, os.path.join(folder, "src"), wanted)
        venv = _venv_of(place, app, wanted["wheels"], uv, python)
        os.symlink(os.path.relpath(venv, folder), os.path.join(folder, "venv"))
        # A release is read-only to its app: what is not compiled now is compiled at every start.
        compiled = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        run([os.path.join(venv, "bin", "python"), *compiled, os.path.join(folder, "src")])
        _sync_filesystem(folder)
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
        target = _inside(top, path)
        _make_parents(target, folders)
        blob = blobs.path_of(place, sha256)
        if mode == 0o644:
            os.link(blob, target)
        else:
            shutil.copyfile(blob, target)
            os.chmod(target, mode)
    for path, link in wanted["links"]:
        target = _inside(top, path)
        _inside(top, os.path.join(os.path.dirname(path), link))
        _make_parents(target, folders)
        os.symlink(link, target)


def _make_parents(target: str, made: "set[str]") -> None:
    parent = os.path.dirname(target)
    if parent not in made:
        os.makedirs(parent, exist_ok=True)
        made.add(parent)


def _inside(top: str, path: str) -> str:
    target = os.path.normpath(os.path.join(top, path))
    if os.path.isabs(path) or not target.startswith(top + os.sep):
        raise Refused("bad-request", "the path %r leaves the release" % path)
    return target


def _venv_of(place: Place, app: str, wheels: List[List[str]], uv: str, python: str) -> str:
    """Return the app's venv of these wheels, made if it is not there whole.

    Compiling dozens of wheels takes seconds of CPU, and most releases change none of them. A venv
    cannot be moved once made, so it too is made under its final name, and its mark comes last.
    """
    from hashlib import sha256

    # Another Python may come to the same path; its venv has its version in its folders' names.
    content = json.dumps([sorted(wheels), python, os.path.realpath(python)])
    venv = place.app(app, "venvs", sha256(content.encode()).hexdigest()[:16])
    mark = os.path.join(venv, VENV_MARK)
    if not os.path.exists(mark):
        files.remove(venv)
        try:
            _make_venv(place, venv, wheels, uv, python)
            _sync_filesystem(venv)
            files.write_file(mark, content.encode(), 0o644)
        except BaseException:
            files.remove(venv)
            raise
    return venv


def _make_venv(place: Place, venv: str, wheels: List[List[str]], uv: str, python: str) -> None:
    program = os.path.join(place.root, "bin", uv)
    with _sharing:
        if not os.path.exists(program):
            _unpack_program(blobs.path_of(place, uv), program)
    env = uv_env(place)
    must([program, "venv", "--no-project", "--python", python, venv], env=env)
    if wheels:
        # A wheel keeps one path for ever, so that uv's cache serves it to every later venv.
        paths = [_wheel(place, name, sha256) for name, sha256 in wheels]
        into = ["--python", os.path.join(venv, "bin", "python")]
        offline = ["--offline", "--no-index", "--no-deps", "--compile-bytecode"]
        must([program, "pip", "install", *into, *offline, "--", *paths], env=env)


def uv_env(place: Place) -> Dict[str, str]:
    return {
        "UV_CACHE_DIR": os.path.join(place.root, "cache"),
        "UV_OFFLINE": "1",
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_LINK_MODE": "hardlink",
        "UV_NO_PROGRESS": "1",
    }


def _unpack_program(packed: str, program: str) -> None:
    os.makedirs(os.path.dirname(program), exist_ok=True)
    temporary = program + ".tmp"
    # By a child: what this process holds open for writing, a fork in another thread holds too for
    # an instant, and then it cannot be run ("text file busy").
    try:
        must([sys.executable, "-I", "-c", _UNPACK, packed, temporary])
    except Refused:
        files.remove(temporary)
        raise
    os.chmod(temporary, 0o755)  # noqa: S103
    os.rename(temporary, program)


def _wheel(place: Place, name: str, sha256: str) -> str:
    folder = os.path.join(place.root, "wheels", sha256)
    path = _inside(folder, name)
    with _sharing:
        if not os.path.exists(path):
            os.makedirs(folder, exist_ok=True)
            temporary = path + ".tmp"
            if os.path.lexists(temporary):
                os.unlink(temporary)
            os.link(blobs.path_of(place, sha256), temporary)
            os.rename(temporary, path)
    return path


def _sync_filesystem(path: str) -> None:
    """Make everything under `path` durable at once; thousands of fsyncs would take seconds."""
    import ctypes

    fd = os.open(path, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed", path)
    finally:
        os.close(fd)


def make_release(place: Place, app: str, name: str, build: str, record: Dict[str, Any]) -> None:
    """Make apps/<app>/releases/<name>/: links to its build and release.json, in one rename."""
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
    data = json.dumps({**record, "build": build}, sort_keys=True).encode()
    files.write_file(os.path.join(stage, "release.json"), data, 0o644)
    os.rename(stage, final)
    files.sync_dir(os.path.dirname(final))


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
    wheels = {wheel[1] for wheel in wanted["wheels"]}
    return {manifest, wanted.get("uv", ""), *(f[2] for f in wanted["files"])} | wheels
