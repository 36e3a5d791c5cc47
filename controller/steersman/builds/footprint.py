"""How much of a host's disk a build will take, told from its parts before any of them is sent."""

import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from steersman.planning.disk import Need

_BLOCK = 4096
_VENV = Need(64 * 1024, 30)


def footprint(
    listed: Mapping[str, Any], missing: Collection[str], path_of: Callable[[str], Path]
) -> Need:
    """Return what it takes to send the `missing` blobs and make the build of them.

    `listed` is the build as the host gets it (see `hand/builds.py`). Hard links take nothing:
    files of mode 644 are links to blobs, and what is installed are links to uv's unpacked wheels.
    What is compiled belongs to each venv. A little too much rather than too little.
    """
    needs = [_VENV, *(_file(path_of(sha256).stat().st_size) for sha256 in missing)]
    sources = [
        (path, mode, path_of(sha256).stat().st_size) for path, mode, sha256 in listed["files"]
    ]
    needs += [_file(size) for _, mode, size in sources if mode != 0o644]
    needs += _compiled((path, size) for path, _, size in sources)
    for _, sha256 in listed["wheels"]:
        with zipfile.ZipFile(path_of(sha256)) as wheel:
            inside = [(each.filename, each.file_size) for each in wheel.infolist()]
        needs += _compiled(inside)
        if sha256 in missing:
            needs += [*(_file(size) for _, size in inside), *_folders(name for name, _ in inside)]
    if listed["uv"] in missing:
        needs.append(_file(_unpacked_size(path_of(listed["uv"]))))
    return sum(needs, Need())


def _compiled(files: Iterable[tuple[str, int]]) -> list[Need]:
    """Return what a tree takes that is linked: its folders, and its modules compiled.

    A compiled module is 1.1 to 1.4 times its source: measured on the standard library, pip,
    pydantic and asyncssh with CPython 3.11.
    """
    listed = list(files)
    modules = [(name, size) for name, size in listed if name.endswith(".py")]
    caches = [f"{PurePosixPath(name).parent}/__pycache__/x" for name, _ in modules]
    return [
        *(_file(size * 4 // 3) for _, size in modules),
        *_folders([*(name for name, _ in listed), *caches]),
    ]


def _folders(names: Iterable[str]) -> list[Need]:
    parents = {parent for name in names for parent in PurePosixPath(name).parents}
    return [Need(_BLOCK, 1)] * len(parents)


def _file(size: int) -> Need:
    return Need(-(-size // _BLOCK) * _BLOCK, 1)


def _unpacked_size(program: Path) -> int:
    """Return what a gzip file unpacks to: its last four bytes (RFC 1952 §2.3.1)."""
    with program.open("rb") as file:
        file.seek(-4, 2)
        return int.from_bytes(file.read(4), "little")
