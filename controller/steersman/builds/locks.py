"""Which packages a source needs: found in its lock file, or resolved once for the host."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from packaging.pylock import Pylock, PylockValidationError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from steersman.builds.blobs import BlobStore
from steersman.builds.cache import Cache
from steersman.builds.cells import Cells
from steersman.builds.children import Progress
from steersman.builds.errors import DependencyError
from steersman.builds.folders import unpack
from steersman.builds.model import FileEntry, digest_of
from steersman.builds.paths import Tree
from steersman.builds.platforms import Platform
from steersman.builds.requirements import (
    Direct,
    Lock,
    Pin,
    flatten,
    has_local,
    is_complete,
    logical_lines,
    parse_lock,
    parse_origins,
)
from steersman.builds.text import clean
from steersman.builds.tools import Tools, dependency_error

_METADATA = ("pyproject.toml", "uv.lock", "uv.toml", "pylock.toml", "setup.py", "setup.cfg")
_EXPORT = (
    *("export", "--quiet", "--frozen", "--no-dev", "--no-editable", "--no-emit-project"),
    *("--no-header", "--no-annotate", "--format", "requirements.txt"),
)
_COMPILE = (
    *("pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"),
    "--no-strip-markers",
)


@dataclass(frozen=True, slots=True)
class _Question:
    """One run of uv: `files` are what its answer depends on, `origins` what pip must know too."""

    where: str
    words: tuple[str, ...]
    files: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


class Locker:
    """Locks sources; the same files for the same platform and index are resolved only once."""

    def __init__(
        self,
        cache: Cache,
        cells: Cells,
        blobs: BlobStore,
        tools: Tools,
        platform: Platform,
        index: str | None,
    ) -> None:
        self._cache = cache
        self._cells = cells
        self._blobs = blobs
        self._tools = tools
        self._platform = platform
        self._index = index

    async def lock_source(self, tree: Tree, progress: Progress) -> Lock:
        """Return what uv.lock, else pylock.toml, requirements.txt or pyproject.toml asks for."""
        pylock = self.text(tree, "pylock.toml")
        if tree.find("uv.lock") is None and pylock is not None:
            return _from_pylock(pylock, self._platform)
        question = self._question(tree)
        return question if isinstance(question, Lock) else await self._ask(question, tree, progress)

    async def lock_package(self, requirement: str, progress: Progress) -> Lock:
        """Return the package and everything it needs."""
        file = self._blobs.add_bytes(f"{requirement}\n".encode())
        entry = FileEntry("requirements.in", 0o644, file.size, file.sha256)
        words = self._compile(entry.path)
        return await self._ask(
            _Question(requirement, words, (entry.path,)), Tree((entry,)), progress
        )

    def project(self, tree: Tree) -> dict[str, Any]:
        """Return pyproject.toml, or nothing when there is none."""
        text = self.text(tree, "pyproject.toml")
        return {} if text is None else _toml(text, "pyproject.toml")

    def text(self, tree: Tree, path: str) -> str | None:
        entry = tree.find(path)
        if entry is None:
            return None
        return self._blobs.path(entry.sha256).read_text("utf-8", "replace")

    def _question(self, tree: Tree) -> _Question | Lock:
        project = self.project(tree)
        if tree.find("uv.lock") is not None:
            return _Question("uv.lock", _EXPORT, origins=_uv_origins(project))
        if tree.find("requirements.txt") is not None:
            where, seen = "requirements.txt", set[str]()
            lines = list(flatten(lambda path: self.text(tree, path), where, seen))
            if is_complete(lines):
                return parse_lock(lines, where, self._platform)
            origins = parse_origins(lines)
            return _Question(where, self._compile(where), tuple(sorted(seen)), origins)
        if "project" in project:
            words = self._compile("pyproject.toml")
            return _Question("pyproject.toml", words, origins=_uv_origins(project))
        if "dependencies" in project.get("tool", {}).get("poetry", {}):
            raise DependencyError(
                "pyproject.toml",
                "its dependencies are in Poetry's own table, which is not read",
                "move them to [project], or commit `poetry export -o requirements.txt`",
            )
        return Lock()

    async def _ask(self, question: _Question, tree: Tree, progress: Progress) -> Lock:
        inputs = [
            (file.path, file.sha256)
            for file in tree.files
            if file.path in question.files
            or file.path.rpartition("/")[2] in _METADATA
            # Then the answer may depend on any file.
            or has_local(question.origins)
        ]
        key = digest_of([question.words, inputs, self._platform.key, self._index])
        known = self._cache.record("resolved", key)
        if known is not None:
            return _lock_from(known)
        progress(f"resolving {question.where} for Python {self._platform.python}")
        with self._cache.scratch() as scratch:
            unpack(tree, self._blobs, scratch)
            # To know what a package needs, uv may have to run what builds it.
            async with self._cells.cell(scratch) as cell:
                done = await self._tools.uv_inside(
                    cell, question.words, self._index, scratch, progress
                )
            if done.code != 0:
                raise dependency_error(question.where, done)
            text = done.stdout.decode().replace(f"file://{scratch}", ".")
        found = parse_lock(logical_lines(text), question.where, self._platform)
        lock = replace(found, origins=question.origins)
        self._cache.keep("resolved", key, asdict(lock))
        return lock

    def _compile(self, file: str) -> tuple[str, ...]:
        target = self._platform
        where = ("--python-platform", target.uv_name, "--python-version", target.python)
        return (*_COMPILE, *where, file)


def check_package(requirement: str) -> Requirement:
    """Return the parsed `name==version`, or refuse anything less exact."""
    try:
        wanted = Requirement(requirement)
    except InvalidRequirement as error:
        raise _no_package(requirement) from error
    exact = [spec for spec in wanted.specifier if spec.operator == "=="]
    plain = len(wanted.specifier) == len(exact) == 1 and not exact[0].version.endswith("*")
    if not plain or wanted.url is not None or wanted.marker is not None:
        raise _no_package(requirement)
    return wanted


def _no_package(requirement: str) -> DependencyError:
    why = "a package source names one exact version"
    return DependencyError(f"package {clean(requirement)}", why, "write it as name==1.2.3")


def _from_pylock(text: str, platform: Platform) -> Lock:
    try:
        lock = Pylock.from_dict(_toml(text, "pylock.toml"))
    except PylockValidationError as error:
        raise DependencyError("pylock.toml", clean(str(error)), "lock it again") from error
    pins: list[Pin] = []
    directs: list[Direct] = []
    for package in lock.packages:
        if not platform.needs(package.marker):
            continue
        files = [*(package.wheels or ()), *((package.sdist,) if package.sdist else ())]
        hashes = tuple(
            sorted(f"sha256:{f.hashes['sha256']}" for f in files if "sha256" in f.hashes)
        )
        if package.version is not None and files:
            pins.append(Pin(canonicalize_name(package.name), str(package.version), hashes))
        elif package.archive is not None and package.archive.url is not None:
            sha256 = package.archive.hashes.get("sha256")
            found = (f"sha256:{sha256}",) if sha256 else ()
            directs.append(Direct(f"{package.name} @ {package.archive.url}", found))
        elif package.vcs is not None and package.vcs.url is not None:
            address = f"git+{package.vcs.url}@{package.vcs.commit_id}"
            directs.append(Direct(f"{package.name} @ {address}"))
        elif package.directory is not None and package.directory.path not in (".", "./"):
            directs.append(Direct(package.directory.path))
    return Lock(tuple(pins), tuple(directs))


def _uv_origins(project: Mapping[str, Any]) -> tuple[str, ...]:
    indexes = project.get("tool", {}).get("uv", {}).get("index", [])
    urls = [str(index["url"]) for index in indexes if "url" in index]
    return tuple(f"--extra-index-url {url}" for url in urls)


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DependencyError(where, f"it is no TOML ({error})", "correct that line") from error


def _lock_from(data: Mapping[str, Any]) -> Lock:
    return Lock(
        tuple(Pin(p["name"], p["version"], tuple(p["hashes"])) for p in data["pins"]),
        tuple(Direct(d["requirement"], tuple(d["hashes"])) for d in data["directs"]),
        tuple(data["origins"]),
    )
