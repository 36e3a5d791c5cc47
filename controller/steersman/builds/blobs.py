"""Bytes by their SHA-256: written beside, fsynced, renamed; present means complete."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from steersman.builds.errors import BlobCorrupt
from steersman.builds.model import Blob

_CHUNK = 1 << 20


class BlobStore:
    """A folder of immutable blobs, shared by all builders on this machine."""

    def __init__(self, cache_dir: Path) -> None:
        self._blobs = cache_dir / "blobs"
        self._tmp = cache_dir / "tmp"

    def path(self, sha256: str) -> Path:
        """Return where the blob is, or would be."""
        return self._blobs / sha256[:2] / sha256

    def has(self, sha256: str, size: int | None = None) -> bool:
        # Asked for each file of a build at every look-up, so without making a Path.
        try:
            found = os.stat(f"{self._blobs}/{sha256[:2]}/{sha256}").st_size
        except FileNotFoundError:
            return False
        return size is None or found == size

    def add_bytes(self, data: bytes) -> Blob:
        blob = Blob(hashlib.sha256(data).hexdigest(), len(data))
        if not self.has(blob.sha256, blob.size):
            with self.writer() as writer:
                writer.write(data)
        return blob

    def add_file(self, source: Path, expected: str | None = None) -> Blob:
        """Copy a file in; with `expected`, refuse content of another digest."""
        with source.open("rb") as file, self.writer(expected) as writer:
            while chunk := file.read(_CHUNK):
                writer.write(chunk)
        return writer.blob

    @contextmanager
    def writer(self, expected: str | None = None) -> Iterator["BlobWriter"]:
        """Yield a writer; leaving the block puts what was written in its place, or nothing."""
        self._tmp.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=self._tmp, prefix="blob-")
        tmp = Path(name)
        try:
            with os.fdopen(fd, "wb") as file:
                writer = BlobWriter(file.write)
                yield writer
                file.flush()
                if not self.has(writer.blob.sha256, writer.blob.size):
                    os.fsync(file.fileno())
            self._settle(tmp, writer.blob, expected)
        finally:
            tmp.unlink(missing_ok=True)

    def _settle(self, tmp: Path, blob: Blob, expected: str | None) -> None:
        if expected is not None and blob.sha256 != expected:
            raise BlobCorrupt("content", expected, blob.sha256)
        if self.has(blob.sha256, blob.size):
            return
        final = self.path(blob.sha256)
        final.parent.mkdir(parents=True, exist_ok=True)
        tmp.chmod(0o444)
        # The folder is not fsynced: a blob that power loss takes away whole is made again.
        tmp.replace(final)


class BlobWriter:
    """Hashes and counts what passes through."""

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self._size += len(chunk)
        self._write(chunk)

    @property
    def blob(self) -> Blob:
        return Blob(self._hash.hexdigest(), self._size)
