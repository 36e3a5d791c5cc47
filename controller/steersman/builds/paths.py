"""Which names a source may hold: rules for paths, symlinks and whole trees of them."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from steersman.builds.errors import SourceRefused
from steersman.builds.model import FileEntry, Symlink, digest_of
from steersman.builds.text import printable

_PART_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Tree:
    """Files and symlinks whose names were all checked, sorted by path."""

    files: tuple[FileEntry, ...] = ()
    symlinks: tuple[Symlink, ...] = ()

    @classmethod
    def of(cls, source: str, files: Iterable[FileEntry], symlinks: Iterable[Symlink]) -> "Tree":
        """Return the tree, or refuse it; `source` names it in the error."""
        tree = cls(
            tuple(sorted(files, key=lambda file: file.path)),
            tuple(sorted(symlinks, key=lambda link: link.path)),
        )
        tree._check(source)
        return tree

    @property
    def digest(self) -> str:
        files = [(file.path, file.mode, file.size, file.sha256) for file in self.files]
        return digest_of([files, [(link.path, link.target) for link in self.symlinks]])

    def find(self, path: str) -> FileEntry | None:
        return next((file for file in self.files if file.path == path), None)

    def _check(self, source: str) -> None:
        names = [file.path for file in self.files] + [link.path for link in self.symlinks]
        for name in names:
            check_path(source, name)
        for link in self.symlinks:
            check_symlink(source, link)
        leaves: set[str] = set()
        for name in names:
            if name in leaves:
                raise SourceRefused(source, f"it holds {name!r} twice", "rename one of the two")
            leaves.add(name)
        for name in names:
            for parent in _parents(name):
                if parent in leaves:
                    why = f"{parent!r} is both a file and a folder"
                    raise SourceRefused(source, why, "rename one of the two")


def check_path(source: str, path: str) -> None:
    """Refuse a path that is absolute, climbs, or could mislead a terminal or a file system."""
    why = _fault(path)
    if why is not None:
        raise SourceRefused(source, f"the name {printable(path)!r} {why}", "rename that file")


def check_symlink(source: str, link: Symlink) -> None:
    """Refuse a symlink that could lead out of the tree.

    A target may climb only at its front: the link's own parents are real folders, so counting
    them is exact, and whatever follows can only go down or through other checked links.
    """
    parts = PurePosixPath(link.target).parts
    climbs = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    leaves = link.target.startswith("/") or climbs > link.path.count("/")
    if leaves or ".." in parts[climbs:] or _is_hostile_text(link.target) or not link.target:
        raise SourceRefused(
            source,
            f"the symlink {printable(link.path)} -> {printable(link.target)} leaves the tree",
            "make it relative, to a file of the same source",
        )


def _fault(path: str) -> str | None:
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        return "is not a plain relative path"
    if any(len(part.encode("utf-8", "surrogateescape")) > _PART_LIMIT for part in parts):
        return f"has a part longer than {_PART_LIMIT} bytes"
    if _is_hostile_text(path):
        return "has control characters, or is not UTF-8"
    if not unicodedata.is_normalized("NFC", path):
        return "is not in Unicode's normal form NFC"
    return None


def _is_hostile_text(text: str) -> bool:
    return any(unicodedata.category(char) in ("Cc", "Cs") for char in text)


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
