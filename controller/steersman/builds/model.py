"""What goes into a build and what comes out: frozen values, and the digests that name them."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

import orjson


@dataclass(frozen=True, slots=True)
class GitSource:
    """A repository: `url` is https, ssh, file or a path; `path` is a folder inside it."""

    url: str
    ref: str = "main"
    path: str | None = None


@dataclass(frozen=True, slots=True)
class PathSource:
    """A folder on the controller's machine."""

    path: str


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A released package: `name==version`, extras allowed."""

    requirement: str


Source = GitSource | PathSource | PackageSource


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """How to build: a Python minor, commands to run before sealing, an index's URL."""

    python: str | None = None
    steps: tuple[str | tuple[str, ...], ...] = ()
    index: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """A source pinned to content: `content` is equal exactly when what would be read is equal."""

    kind: Literal["git", "path", "package"]
    source: Source
    commit: str
    content: str
    subject: str | None = None
    authored: datetime | None = None


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes in the BlobStore."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A regular file of the tree; `mode` is 0o644 or 0o755."""

    path: str
    mode: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Symlink:
    """A relative symlink that stays inside the tree."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that the host installs offline."""

    filename: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a host needs for a release's src and venv; all of it is in the BlobStore."""

    python: str
    files: tuple[FileEntry, ...]
    symlinks: tuple[Symlink, ...]
    wheels: tuple[Wheel, ...]
    procfile: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return digest_of(asdict(self))

    @property
    def blobs(self) -> frozenset[Blob]:
        files = {Blob(file.sha256, file.size) for file in self.files}
        return frozenset(files | {Blob(wheel.sha256, wheel.size) for wheel in self.wheels})


@dataclass(frozen=True, slots=True)
class Build:
    """An immutable artifact; equal inputs give an equal digest.

    `unwalled` says why a program of strangers ran without walls as it was made, if one did.
    """

    digest: str
    platform: str
    commit: str
    manifest: Manifest
    subject: str | None = None
    authored: datetime | None = None
    unwalled: str | None = None


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value, whatever the order of its keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest_of(value: Any) -> str:
    """Return the sha256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def manifest_from(data: Mapping[str, Any]) -> Manifest:
    """Return the manifest that `asdict` turned into `data`."""
    return Manifest(
        python=data["python"],
        files=tuple(FileEntry(**entry) for entry in data["files"]),
        symlinks=tuple(Symlink(**entry) for entry in data["symlinks"]),
        wheels=tuple(Wheel(**entry) for entry in data["wheels"]),
        procfile=dict(data["procfile"]),
    )
