"""How much of a host's disk a build will take, told from its parts before any of them is sent."""

import zipfile
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

    `manifest` is the digest of the build as the host gets it (see `hand/builds.py`). Hard links
    take nothing: files of mode 644 are links to blobs, and what is installed are links to uv's
    unpacked wheels. What is compiled belongs to each venv, and whether there is one already is not
    known here: rather too much than too little.
    """
    made, unpacked = _making(manifest, path_of)
    needs = [made, *(_file(path_of(sha256).stat().st_size) for sha256 in missing)]
    needs += [need for sha256, need in unpacked if sha256 in missing]
    return sum(needs, Need())


# Blobs never change, and a rollout asks the same for each of its hosts.
@lru_cache(maxsize=256)
def _making(manifest: str, path_of: PathOf) -> tuple[Need, tuple[tuple[str, Need], ...]]:
    """Return what the build takes of itself, and by blob what is unpacked where it is new."""
    listed = orjson.loads(path_of(manifest).read_bytes())
    files = [(path, mode, path_of(sha256).stat().st_size) for path, mode, sha256 in listed["files"]]
    needs = [_VENV, _linked((path, size) for path, _, size in files)]
    needs += [Need(_file(size).size) for _, mode, size in files if mode != 0o644]
    program = _file(_unpacked_size(path_of(listed["uv"])))
    unpacked = [(str(listed["uv"]), program)]
    for _, sha256 in listed["wheels"]:
        linked, copied = _wheel(path_of(sha256))
        needs.append(linked)
        unpacked.append((str(sha256), copied))
    return sum(needs, Need()), tuple(unpacked)


@lru_cache(maxsize=1024)
def _wheel(path: Path) -> tuple[Need, Need]:
    """Return what a wheel takes in each venv, and once in uv's cache."""
    with zipfile.ZipFile(path) as wheel:
        inside = [(each.filename, each.file_size) for each in wheel.infolist()]
    copied = [*(_file(size) for _, size in inside), _folders(name for name, _ in inside)]
    return _linked(inside), sum(copied, Need())


def _linked(files: Iterable[tuple[str, int]]) -> Need:
    """Return what a tree takes that is linked: its folders, and its modules compiled.

    A link takes no bytes; that it takes an inode is true of tmpfs and too much elsewhere.
    A compiled module is 1.1 to 1.4 times its source: measured on the standard library, pip,
    pydantic and asyncssh with CPython 3.11.
    """
    listed = list(files)
    modules = [(name, size) for name, size in listed if name.endswith(".py")]
    caches = [f"{PurePosixPath(name).parent}/__pycache__/x" for name, _ in modules]
    compiled = sum((_file(size * 4 // 3) for _, size in modules), Need())
    links = Need(0, len(listed))
    return links + compiled + _folders([*(name for name, _ in listed), *caches])


def _folders(names: Iterable[str]) -> Need:
    count = len({parent for name in names for parent in PurePosixPath(name).parents})
    return Need(_BLOCK * count, count)


def _file(size: int) -> Need:
    return Need(-(-size // _BLOCK) * _BLOCK, 1)


def _unpacked_size(program: Path) -> int:
    """Return what a gzip file unpacks to: its last four bytes (RFC 1952 §2.3.1)."""
    with program.open("rb") as file:
        file.seek(-4, 2)
        return int.from_bytes(file.read(4), "little")
