"""Files, links and trees, written so that a crash leaves the old one or the new one."""

from __future__ import annotations

import grp
import os
import pwd
import stat

from .digest import sha256_of
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Set, Tuple

    Signature = Tuple[int, int, int, int]
    FileSeen = List[object]  # [sha256, mode, "owner:group"]


def sync_dir(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folders(path: str) -> None:
    """Make `path` and its parents; what is synced below them later is found after a power cut."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
        except FileExistsError:
            continue  # made for another app, or no folder: the next one will tell
        sync_dir(os.path.dirname(folder))


# Files and folders that are synced one by one.
FEW = 64


def sync_tree(top: str) -> None:
    """Make everything under `top` durable; hard links are to files that are already.

    Thousands of fsyncs would take seconds, and a few less than a whole file system.
    """
    kept: List[str] = []
    folders: List[str] = []
    for folder, _, names in os.walk(top):
        folders.append(folder)
        for name in names:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                kept.append(path)
        if len(kept) + len(folders) > FEW:
            sync_filesystem(top)
            return
    for path in kept:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    for folder in folders:
        sync_dir(folder)


def sync_filesystem(path: str) -> None:
    """Make everything on the file system of `path` durable."""
    import ctypes

    fd = os.open(path, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed", path)
    finally:
        os.close(fd)


def inside(top: str, path: str) -> str:
    """Return where `path` is below `top`; refuse one that leads out of it."""
    target = os.path.normpath(os.path.join(top, path))
    if os.path.isabs(path) or not target.startswith(top + os.sep):
        raise Refused("bad-request", "the path %r leaves the release" % path)
    return target


def make_parents(target: str, made: Set[str]) -> None:
    """Make the folders above `target`, but for those in `made`, which grows by them."""
    parent = os.path.dirname(target)
    if parent not in made:
        os.makedirs(parent, exist_ok=True)
        made.add(parent)


def make_dir(path: str, mode: int = 0o755, owner: str = "") -> None:
    """Make `path` and its parents; set the mode and owner of the last even if it stood."""
    make_folders(path)
    if owner:
        chown(path, owner)
    os.chmod(path, mode)


def chown(path: str, owner: str) -> None:
    user, _, group = owner.partition(":")
    try:
        uid = pwd.getpwnam(user).pw_uid if user else -1
        gid = grp.getgrnam(group).gr_gid if group else -1
    except KeyError:
        raise Refused("missing-user", "no user or group %r on this host" % owner)
    if os.geteuid() == 0:
        os.chown(path, uid, gid, follow_symlinks=False)


def write_file(path: str, data: bytes, mode: int, owner: str = "") -> None:
    """Replace `path` in one step: temporary in the same folder, fsync, rename, fsync."""
    folder = os.path.dirname(path)
    make_folders(folder)
    write_by(_temporary(path), path, data, mode, owner)
    sync_dir(folder)


def write_by(temporary: str, path: str, data: bytes, mode: int, owner: str = "") -> None:
    """Replace `path`, which is sure to be found later only once its folder is synced."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        fd = os.open(temporary, flags, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fchmod(fd, mode)
            if owner:
                chown(temporary, owner)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except (OSError, Refused):
        _discard(temporary)
        raise


def set_mode(path: str, mode: int) -> None:
    """Give a file another mode, which a power cut does not take back."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)


def write_link(path: str, target: str) -> None:
    """Point `path` at `target` in one step; readers see the old target or the new."""
    folder, temporary = os.path.dirname(path), _temporary(path)
    make_folders(folder)
    _discard(temporary)
    try:
        os.symlink(target, temporary)
        os.rename(temporary, path)
    except OSError:
        _discard(temporary)
        raise
    sync_dir(folder)


def _temporary(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, ".tmp-%s-%d" % (name, os.getpid()))


def _discard(temporary: str) -> None:
    if os.path.lexists(temporary):
        os.unlink(temporary)


def remove(path: str) -> None:
    """Remove a file or a whole tree, following no link; absent is fine."""
    import shutil

    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        trash = os.path.join(os.path.dirname(path), ".trash-" + os.path.basename(path))
        if os.path.lexists(trash):
            shutil.rmtree(trash)
        os.rename(path, trash)
        shutil.rmtree(trash)
    else:
        os.unlink(path)


def read_link(path: str) -> Optional[str]:
    try:
        return os.readlink(path)
    except OSError:
        return None


def entries(path: str) -> List[str]:
    try:
        return sorted(name for name in os.listdir(path) if not name.startswith("."))
    except FileNotFoundError:
        return []


def clean_temporaries(folder: str, start: str = "") -> None:
    """Take away what a crashed writer left in `folder` of what was to begin with `start`."""
    import shutil

    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith((".tmp-" + start, ".trash-" + start)):
            path = os.path.join(folder, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)


class Digests:
    """SHA-256 of files, read again only when a file's inode, times or size changed."""

    def __init__(self) -> None:
        self._known: Dict[str, Tuple[Signature, str]] = {}

    def seen(self, path: str) -> Optional[FileSeen]:
        """Return [sha256, mode, "owner:group"], or None for what is not a regular file."""
        try:
            status = os.lstat(path)
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        owner = "%s:%s" % (_user(status.st_uid), _group(status.st_gid))
        return [self._digest(path, status), stat.S_IMODE(status.st_mode), owner]

    def _digest(self, path: str, status: os.stat_result) -> str:
        signature = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        known = self._known.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        digest = sha256_of(path)
        self._known[path] = (signature, digest)
        return digest


_names: Dict[Tuple[str, int], str] = {}


def _user(uid: int) -> str:
    if ("u", uid) not in _names:
        try:
            _names["u", uid] = pwd.getpwuid(uid).pw_name
        except KeyError:
            return str(uid)
    return _names["u", uid]


def _group(gid: int) -> str:
    if ("g", gid) not in _names:
        try:
            _names["g", gid] = grp.getgrgid(gid).gr_name
        except KeyError:
            return str(gid)
    return _names["g", gid]
