"""What a power cut leaves of a folder: names that were synced, bytes that were synced, no more.

File systems promise little else. Two worlds bound what they do: one that lost every change that
nobody synced, and one that kept each new name but nothing of the bytes that changed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Tree = dict[str, Any]
"""What a folder holds: bytes of files, `-> target` of links, and folders in it."""

CALLS = ("fsync", "fdatasync", "rename", "replace", "symlink", "link", "unlink", "mkdir", "write")


@dataclass(frozen=True)
class Cut:
    """The worlds that a power cut before the call `at` may leave."""

    at: str
    lost: Tree
    named: Tree


@dataclass
class Disk:
    """Watches this process change `top`, whose content is safe to begin with.

    With `fail_at` set, that call of the watched ones fails as on a full disk.
    """

    top: Path
    fail_at: int = 0
    calls: int = 0
    cuts: list[Cut] = field(default_factory=list)
    _bytes: dict[int, bytes] = field(default_factory=dict)
    _names: dict[int, dict[str, int | str]] = field(default_factory=dict)
    # An inode number that nobody holds would be given to another file.
    _held: dict[int, int] = field(default_factory=dict)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        self.sync_all()
        for name in CALLS:
            patch.setattr(os, name, self._watched(name, getattr(os, name)))
        patch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(syncfs=self._syncfs))

    def close(self) -> None:
        for fd in self._held.values():
            os.close(fd)

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kw: Any) -> Any:
            self._count(name)
            done = call(*args, **kw)
            if name in ("fsync", "fdatasync"):
                self._sync(f"/proc/self/fd/{args[0]}", os.fstat(args[0]))
            return done

        return watched

    def _count(self, name: str) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        if not self.fail_at:
            self.cuts.append(self.cut(name))

    def _syncfs(self, fd: int) -> int:
        self._count("syncfs")
        self.sync_all()
        return 0

    def sync_all(self) -> None:
        for folder, _, files in os.walk(self.top):
            self._sync(folder, os.stat(folder))
            for path in (os.path.join(folder, name) for name in files):
                if not os.path.islink(path):
                    self._sync(path, os.stat(path))

    def _sync(self, path: str, status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode):
            self._names[status.st_ino] = self._listing(path)
        else:
            self._bytes[status.st_ino] = Path(path).read_bytes()

    def _listing(self, folder: str) -> dict[str, int | str]:
        """Return what each name of a folder stands for: an inode, or a link's target."""
        found: dict[str, int | str] = {}
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            found[name] = os.readlink(path) if os.path.islink(path) else status.st_ino
            if status.st_ino not in self._held:
                self._held[status.st_ino] = os.open(path, os.O_PATH | os.O_NOFOLLOW)
            if stat.S_ISDIR(status.st_mode):
                self._names.setdefault(status.st_ino, {})
        return found

    def cut(self, at: str = "the end") -> Cut:
        """Return what would be left if the power went now."""
        return Cut(at, self._lost(os.stat(self.top).st_ino), self._named(str(self.top)))

    def _lost(self, folder: int) -> Tree:
        def of(node: int | str) -> Any:
            if isinstance(node, str):
                return f"-> {node}"
            return self._lost(node) if node in self._names else self._bytes.get(node, b"")

        return {name: of(node) for name, node in self._names[folder].items()}

    def _named(self, folder: str) -> Tree:
        def of(path: str, node: int | str) -> Any:
            if isinstance(node, str):
                return f"-> {node}"
            if os.path.isdir(path):
                return self._named(path)
            now = Path(path).read_bytes()
            return now if self._bytes.get(node) == now else b""

        return {n: of(os.path.join(folder, n), node) for n, node in self._listing(folder).items()}


def worlds(disk: Disk) -> Iterator[tuple[str, Tree]]:
    """Yield every world that a cut might have left, and when."""
    for number, cut in enumerate(disk.cuts, 1):
        yield f"call {number}, before {cut.at}: nothing unsynced is left", cut.lost
        yield f"call {number}, before {cut.at}: names without bytes", cut.named


def at(tree: Tree, path: str) -> Any:
    """Return what is at `path` of a world, None if nothing is."""
    found: Any = tree
    for part in path.split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def real(top: Path) -> Tree:
    """Return a folder as it is."""
    return {
        path.name: f"-> {os.readlink(path)}"
        if path.is_symlink()
        else real(path)
        if path.is_dir()
        else path.read_bytes()
        for path in top.iterdir()
    }


def flat(tree: Tree, below: str = "") -> dict[str, Any]:
    """Return the files and links of a world by their paths."""
    found: dict[str, Any] = {}
    for name, node in tree.items():
        path = f"{below}/{name}" if below else name
        found |= flat(node, path) if isinstance(node, dict) else {path: node}
    return found
