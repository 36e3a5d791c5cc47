"""Folders on this machine as trees: what belongs to them, read without following links."""

import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from steersman.builds.blobs import BlobStore
from steersman.builds.errors import SourceChanged, SourceRefused
from steersman.builds.gitcli import GitCli, reason
from steersman.builds.model import Blob, FileEntry, Symlink
from steersman.builds.paths import Tree
from steersman.builds.text import printable

# Folders that are made again by tools, and never part of an artifact.
LEFT_OUT = frozenset(
    {".git", ".venv", "__pycache__", "node_modules", ".tox", ".nox", ".hypothesis"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
# What editors and desktops leave beside files, some of it for as long as they are open.
_DROPPINGS = (".*.sw?", "*~", ".#*", "#*#", ".DS_Store")
# What is in every venv, whatever its name.
_VENV = "pyvenv.cfg"

_CHUNK = 1 << 20


async def source_names(git: GitCli, folder: Path) -> list[str]:
    """Return what belongs to a source folder: what git does not ignore, or all but leftovers."""
    if not folder.is_dir():
        raise SourceRefused(printable(str(folder)), "it is no folder", "correct spec.source.path")
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return list(walk(folder))
    # As words of its own, since discovery must climb: a folder inside a work tree is welcome.
    words = ["-C", str(folder), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    # Of what is committed nothing is left out: somebody wanted it there.
    words += [f"--exclude={name}/" for name in sorted(LEFT_OUT)]
    words += [f"--exclude={glob.replace('#', '[#]')}" for glob in _DROPPINGS]
    done = await git.run(words)
    if done.code != 0:
        why = f"git cannot list it ({reason(done)})"
        raise SourceRefused(printable(str(folder)), why, "repair that work tree")
    names = {raw.decode("utf-8", "surrogateescape") for raw in done.stdout.split(b"\0") if raw}
    # A nested repository ends in a slash.
    return sorted(name for name in names if not name.endswith("/"))


def walk(folder: Path, below: str = "") -> Iterator[str]:
    """Yield the files and symlinks under `folder`, as relative paths."""
    with os.scandir(folder / below) as entries:
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in LEFT_OUT and not os.path.lexists(f"{entry.path}/{_VENV}"):
                    yield from walk(folder, name)
            elif is_dropping(entry.name):
                continue
            elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                yield name


def is_dropping(name: str) -> bool:
    """Whether a file is an editor's or a desktop's, and no part of what somebody made."""
    return any(fnmatch.fnmatchcase(name, glob) for glob in _DROPPINGS)


def read_folder(folder: Path, names: Iterable[str], blobs: BlobStore | None = None) -> Tree:
    """Return the tree of `names` in `folder`; with `blobs`, keep the content there too."""
    source = printable(str(folder))
    files: list[FileEntry] = []
    links: list[Symlink] = []
    real = {""}
    for name in names:
        path = f"{folder}/{name}"
        if not _is_inside(folder, name.rpartition("/")[0], real):
            continue
        try:
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                links.append(Symlink(name, os.readlink(path)))
            elif stat.S_ISREG(found.st_mode):
                blob = _read(path, blobs)
                mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
                files.append(FileEntry(name, mode, blob.size, blob.sha256))
        except FileNotFoundError:
            # Deleted, while git's index still lists it.
            continue
        except OSError as error:
            why = f"{printable(name)} cannot be read ({error.strerror})"
            raise SourceRefused(source, why, "make it readable, or leave it out") from error
    return Tree.of(source, files, links)


def unpack(tree: Tree, blobs: BlobStore, folder: Path) -> None:
    """Write the tree into an empty `folder`, as copies: whoever edits them edits no blob."""
    for file in tree.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(blobs.path(file.sha256).read_bytes())
        target.chmod(file.mode)
    for link in tree.symlinks:
        (folder / link.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / link.path).symlink_to(link.target)


def check_unchanged(source: str, tree: Tree, content: str) -> None:
    if tree.digest != content:
        raise SourceChanged(source)


def _read(path: str, blobs: BlobStore | None) -> Blob:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    digest, size = hashlib.sha256(), 0
    with os.fdopen(fd, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    blob = Blob(digest.hexdigest(), size)
    if blobs is not None and not blobs.has(blob.sha256, blob.size):
        return blobs.add_file(Path(path))
    return blob


def _is_inside(folder: Path, parent: str, real: set[str]) -> bool:
    """Whether `parent` is reached without a symlink; `real` remembers those that are."""
    if parent in real:
        return True
    is_real = not os.path.islink(f"{folder}/{parent}")
    if is_real and _is_inside(folder, parent.rpartition("/")[0], real):
        real.add(parent)
        return True
    return False
