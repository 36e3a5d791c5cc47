"""How much of a host's disk a build will take, told from its parts before any of them is sent."""

from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath

import orjson

from steersman.planning.disk import Need

_BLOCK = 4096
_VENV = Need(128 * 1024, 64)

PathOf = Callable[[str], Path]
"""Where the blob of a digest is."""


def footprint(manifest: str, missing: Collection[str], path_of: PathOf) -> Need:
    """Return what it takes to send the `missing` blobs and make the build of them.

    `manifest` is the digest of the build as the host gets it (see `hand/builds.py`). Files of mode
    644 are hard links to blobs, which take nothing. Whether there is a venv of these wheels already
    is not known here: rather too much than too little.
    """
    needs = [_making(manifest, path_of)]
    needs += [_file(path_of(sha256).stat().st_size) for sha256 in missing]
    return sum(needs, Need())


# Blobs never change, and a rollout asks the same for each of its hosts.
@lru_cache(maxsize=256)
def _making(manifest: str, path_of: PathOf) -> Need:
    """Return what the build takes beside its blobs."""
    listed = orjson.loads(path_of(manifest).read_bytes())
    files = [(path, mode, path_of(sha256).stat().st_size) for path, mode, sha256 in listed["files"]]
    needs = [_VENV, Need(0, len(files)), _folders(path for path, _, _ in files)]
    needs += [Need(_file(size).size) for _, mode, size in files if mode != 0o644]
    needs += [Need(size, count) for _, _, size, count in listed["packs"]]
    if not listed["compiled"]:
        needs.append(compiled((path, size) for path, _, size in files))
    return sum(needs, Need())


def unpacked(files: Iterable[tuple[str, int]]) -> Need:
    """Return what files of these paths and sizes take with their folders."""
    listed = list(files)
    return sum((_file(size) for _, size in listed), _folders(path for path, _ in listed))


def compiled(files: Iterable[tuple[str, int]]) -> Need:
    """Return what the modules among `files` take that the host compiles.

    A compiled module is 1.1 to 1.4 times its source: measured on the standard library, pip,
    pydantic and asyncssh with CPython 3.11.
    """
    modules = [(name, size) for name, size in files if name.endswith(".py")]
    caches = _folders(f"{PurePosixPath(name).parent}/__pycache__/x" for name, _ in modules)
    return sum((_file(size * 4 // 3) for _, size in modules), caches)


def _folders(names: Iterable[str]) -> Need:
    count = len({parent for name in names for parent in PurePosixPath(name).parents})
    return Need(_BLOCK * count, count)


def _file(size: int) -> Need:
    return Need(-(-size // _BLOCK) * _BLOCK, 1)
