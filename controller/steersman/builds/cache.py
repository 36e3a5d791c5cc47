"""The cache folder: records written whole, locks between builders, scratch space, sweeping."""

import asyncio
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from steersman.builds.model import canonical

_ABANDONED_AFTER = 24 * 3600.0
_LOCK_POLL = 0.05


class Cache:
    """Names in the cache folder; everything in it can be deleted and is made again."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def record(self, kind: str, key: str) -> Any:
        """Return the record, or None when it is absent or not as it was written."""
        try:
            digest, _, text = (self.root / kind / key).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        whole = hashlib.sha256(text).hexdigest().encode() == digest
        return orjson.loads(text) if whole else None

    def keep(self, kind: str, key: str, value: Any) -> None:
        """Write the record, its digest in the first line: tmp, fsync, rename."""
        folder = self.root / kind
        folder.mkdir(parents=True, exist_ok=True)
        with self.scratch() as scratch:
            tmp = scratch / "record"
            with tmp.open("wb") as file:
                text = canonical(value)
                file.write(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
                file.flush()
                os.fsync(file.fileno())
            tmp.replace(folder / key)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty private folder that goes away afterwards."""
        parent = self.root / "tmp"
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix="scratch-"))
        try:
            yield folder
        finally:
            remove(folder)

    @asynccontextmanager
    async def locked(self, name: str) -> AsyncIterator[None]:
        """Hold the lock `name` against all other builders; it vanishes with this process."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            # Polled, because a thread blocked in flock could not be cancelled.
            while not _try_lock(fd):  # noqa: ASYNC110
                await asyncio.sleep(_LOCK_POLL)
            yield
        finally:
            os.close(fd)

    def sweep(self) -> None:
        """Remove what killed builders left behind a day ago or earlier."""
        horizon = time.time() - _ABANDONED_AFTER
        for left in (self.root / "tmp").glob("*"):
            # Two builders may sweep at once.
            with suppress(FileNotFoundError):
                if left.lstat().st_mtime < horizon:
                    remove(left)


def remove(path: Path) -> None:
    """Delete a file or a folder, even one whose folders were made read-only."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    path.chmod(0o700)
    for folder, inner, _ in os.walk(path):
        for name in inner:
            below = Path(folder, name)
            if not below.is_symlink():
                below.chmod(0o700)
    shutil.rmtree(path)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
