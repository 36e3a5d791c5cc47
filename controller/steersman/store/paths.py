"""Where the state file lives, and whether that is a safe place for it."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steersman.store.errors import StoreError, StoreUnsafe

# WAL shares memory between processes, which these file systems cannot do across machines.
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre"})


def state_dir() -> Path:
    """Return $XDG_STATE_HOME/steersman, or ~/.local/state/steersman."""
    base = os.environ.get("XDG_STATE_HOME", "")
    # The XDG specification: a relative path is invalid and must be ignored.
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return root / "steersman"


@contextmanager
def prepared(path: Path) -> Iterator[None]:
    """Make the state file 0600 in a 0700 folder, or refuse the place with its cure.

    Processes that open the same file take turns inside this, so that none sees it half made:
    SQLite fails at once, whatever its timeout, while another process turns a file to WAL.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        _refuse_strangers(path, os.fstat(folder))
        _refuse_remote(path, Path("/proc/self/mountinfo"))
        _make_private(path)
        yield
    finally:
        os.close(folder)


def _make_private(path: Path) -> None:
    # Only a file that nobody has yet is opened here: closing an old one would drop the locks
    # that SQLite holds on it in this process. Its -wal and -shm files inherit its mode.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if stat.S_IMODE(path.lstat().st_mode) != 0o600:
            path.chmod(0o600)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> StoreError:
    why = error.strerror or str(error)
    way_out = "make its folder writable, or name another with --state-dir"
    return StoreError(path, f"cannot be opened: {why}", way_out)


def _refuse_strangers(path: Path, folder: os.stat_result) -> None:
    if folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        why = f"others may write to its folder (mode {stat.S_IMODE(folder.st_mode):04o})"
        raise StoreUnsafe(path, why, f"run `chmod 700 {path.parent}`")
    if not os.path.lexists(path):
        return
    seen = path.lstat()
    if not stat.S_ISREG(seen.st_mode):
        raise StoreUnsafe(path, "it is not a regular file", "move it away")
    if seen.st_uid != os.geteuid():
        why = f"it belongs to user {seen.st_uid}, not to you ({os.geteuid()})"
        raise StoreUnsafe(path, why, "run as that user, or name another folder with --state-dir")


def _refuse_remote(path: Path, mountinfo: Path) -> None:
    kind = filesystem_of(path.parent.stat().st_dev, mountinfo)
    if kind in _REMOTE:
        why = f"it lies on {kind}, where SQLite cannot lock it safely"
        raise StoreUnsafe(path, why, "name a folder on a local disk with --state-dir")


def filesystem_of(device: int, mountinfo: Path) -> str | None:
    """Return the type of the file system with this `st_dev`, None if the table hides it."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = mountinfo.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        # proc(5): id parent major:minor root mount options [optional…] - type source options
        before, _, after = line.partition(" - ")
        if before.split()[2:3] == [wanted]:
            return after.split()[0]
    return None
