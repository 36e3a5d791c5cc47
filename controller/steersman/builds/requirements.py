"""The text of requirements files: pinned packages, direct references and index options."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from steersman.builds.errors import DependencyError
from steersman.builds.platforms import Platform
from steersman.builds.text import clean

_HASH = re.compile(r"\s--hash[= ]\s*(sha256:[0-9a-f]{64}|\S+)")
_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)[= ]?\s*(\S+)")
_EDITABLE = re.compile(r"(-e|--editable)[= ]\s*")
_REMOTE = re.compile(r"(https?|file)://|/")
_ORIGINS = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package at one version; `hashes` are `sha256:…` of any file that may be it."""

    name: str
    version: str
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Direct:
    """A package from an address or from a folder of the source, as pip reads it."""

    requirement: str
    hashes: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        return " @ " not in self.requirement

    @property
    def is_wheel(self) -> bool:
        return self.requirement.split("#")[0].endswith(".whl")


@dataclass(frozen=True, slots=True)
class Lock:
    """Everything that is installed beside the source, and where to look for it."""

    pins: tuple[Pin, ...] = ()
    directs: tuple[Direct, ...] = ()
    origins: tuple[str, ...] = ()


def flatten(read: Callable[[str], str | None], path: str, seen: set[str]) -> Iterator[str]:
    """Yield the logical lines of a file and of those it includes with -r; `seen` gets the names."""
    text = read(path)
    if text is None:
        way_out = "commit the file, or correct the line that includes it"
        raise DependencyError(clean(path), "it is not in the source", way_out)
    seen.add(path)
    for line in logical_lines(text):
        found = _INCLUDE.fullmatch(line)
        if found is None:
            yield line
            continue
        inner = _normal(PurePosixPath(path).parent / found[2])
        if found[1] in ("-c", "--constraint"):
            seen.add(inner)
        elif inner not in seen:
            yield from flatten(read, inner, seen)


def is_complete(lines: Sequence[str]) -> bool:
    """Whether these lines are a lock already: every package has a version and a hash."""
    packages = [line for line in lines if not line.startswith("-")]
    editable = any(_EDITABLE.match(line) for line in lines)
    return not editable and all("==" in line and _HASH.search(line) for line in packages)


def parse_lock(lines: Sequence[str], where: str, platform: Platform) -> Lock:
    """Return what the host needs of these lines; the project itself (`.`) is left out."""
    pins: dict[str, Pin] = {}
    directs: list[Direct] = []
    for line in lines:
        if line.startswith("-") and not _EDITABLE.match(line):
            continue
        found = _parse(line, where, platform)
        if isinstance(found, Pin):
            pins[found.name] = found
        elif found is not None:
            directs.append(found)
    return Lock(tuple(pins.values()), tuple(directs), parse_origins(lines))


def parse_origins(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the lines that say where packages are looked for."""
    return tuple(line for line in lines if re.split(r"[= ]", line)[0] in _ORIGINS)


def has_local(origins: Sequence[str]) -> bool:
    """Whether a line may name a folder of the source: then it says another thing in each."""
    places = (re.split(r"[= ]", line, maxsplit=1) for line in origins)
    return any(
        words[0] != "--trusted-host" and not _REMOTE.match(words[-1].strip()) for words in places
    )


def _parse(line: str, where: str, platform: Platform) -> Pin | Direct | None:
    hashes = tuple(sorted(_HASH.findall(line)))
    text = _EDITABLE.sub("", _HASH.sub("", line)).strip()
    if _is_local(text):
        return _local(text, hashes, where, platform)
    try:
        wanted = Requirement(text)
    except InvalidRequirement as error:
        raise DependencyError(
            where, f"{clean(text)!r} is no requirement", "write it as name==version"
        ) from error
    if not platform.needs(wanted.marker):
        return None
    name = canonicalize_name(wanted.name)
    if wanted.url is not None:
        return Direct(f"{name} @ {wanted.url}", hashes)
    exact = [spec.version for spec in wanted.specifier if spec.operator in ("==", "===")]
    if not exact:
        raise DependencyError(where, f"{clean(text)} has no exact version", "pin it with ==")
    return Pin(name, exact[0], hashes)


def _is_local(text: str) -> bool:
    return text.startswith((".", "/", "file:")) or ("/" in text and " @ " not in text)


def _local(text: str, hashes: tuple[str, ...], where: str, platform: Platform) -> Direct | None:
    path, _, condition = (part.strip() for part in text.partition(" ;"))
    try:
        marker = Marker(condition) if condition else None
    except InvalidMarker as error:
        way_out = "correct what stands behind the semicolon"
        raise DependencyError(where, f"{clean(text)!r} has a broken marker", way_out) from error
    if not platform.needs(marker):
        return None
    inner = _normal(PurePosixPath(path.partition("[")[0]))
    if inner.startswith(("/", "..", "file:")):
        why = f"{clean(path)} lies outside the source"
        raise DependencyError(where, why, "move it into the source, or publish it to an index")
    return None if inner == "." else Direct(inner, hashes)


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts and parts[-1] not in ("..", "/"):
            parts.pop()
        else:
            parts.append(part)
    return str(PurePosixPath(*parts)) if parts else "."


def logical_lines(text: str) -> list[str]:
    """Return the lines of requirements text: continued ones joined, comments dropped."""
    joined = re.sub(r"\\\r?\n", " ", text.lstrip("\ufeff"))
    plain = (_COMMENT.sub("", line).strip() for line in joined.splitlines())
    return [line for line in plain if line]
