"""The host's blob store: files named by their SHA-256, whole or absent."""

from __future__ import annotations

import os
import threading
from collections import Counter

from . import files
from .digest import sha256 as digest_of
from .digest import sha256_of
from .place import Place
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, List, Set


PART = ".part-"


class Claims:
    """Blobs that builds are about to be made of: no sweep for another app may take them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def claim(self, digests: Iterable[str]) -> None:
        with self._lock:
            self._counts.update(digests)

    def release(self, digests: Iterable[str]) -> None:
        with self._lock:
            self._counts.subtract(digests)
            self._counts = +self._counts

    def held(self) -> Set[str]:
        with self._lock:
            return set(self._counts)


def path_of(place: Place, sha256: str) -> str:
    if len(sha256) != 64 or not all(c in "0123456789abcdef" for c in sha256):
        raise Refused("bad-request", "%r is not a SHA-256 digest" % sha256)
    return os.path.join(place.store, sha256)


def missing(place: Place, digests: List[str]) -> List[str]:
    return [digest for digest in digests if not os.path.exists(path_of(place, digest))]


def begin(place: Place, sha256: str, size: int) -> Dict[str, object]:
    """Say whether the blob is here, and if not how many of its bytes already are."""
    if os.path.exists(path_of(place, sha256)):
        return {"have": True, "offset": size}
    partial = _partial(place, sha256)
    offset = os.path.getsize(partial) if os.path.exists(partial) else 0
    if offset > size:
        os.unlink(partial)
        offset = 0
    _check_room(place, size - offset)
    return {"have": False, "offset": offset}


def _check_room(place: Place, size: int) -> None:
    free = os.statvfs(place.root)
    room = free.f_bavail * free.f_frsize
    if room < size * 1.2:
        raise Refused(
            "disk-full",
            "%d bytes do not fit: %d bytes are free in %s; make room there"
            % (size, room, place.root),
            need=size,
            free=room,
        )


def put(place: Place, sha256: str, size: int, offset: int, body: bytes) -> Dict[str, object]:
    """Append one chunk at `offset`; the last one verifies the whole and names it."""
    final = path_of(place, sha256)
    if os.path.exists(final):
        return {"received": size, "stored": True}
    partial = _partial(place, sha256)
    fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if os.fstat(fd).st_size < offset:
            raise Refused("bad-request", "chunk at %d leaves a hole in %s" % (offset, sha256))
        os.ftruncate(fd, offset)
        os.lseek(fd, offset, os.SEEK_SET)
        try:
            view = memoryview(body)
            while view:
                view = view[os.write(fd, view) :]
        except OSError:
            # Most likely the disk is full: the part would only keep it so.
            os.unlink(partial)
            raise
        received = offset + len(body)
        if received < size:
            return {"received": received}
        os.fchmod(fd, 0o644)
        os.fsync(fd)
    finally:
        os.close(fd)
    if os.path.getsize(partial) != size or sha256_of(partial) != sha256:
        os.unlink(partial)
        raise Refused("corrupt", "blob %s arrived damaged and was dropped; send it again" % sha256)
    os.rename(partial, final)
    files.sync_dir(place.store)
    return {"received": received, "stored": True}


def put_all(place: Place, blobs: "List[List[Any]]", body: bytes) -> Dict[str, object]:
    """Store several blobs, [[sha256, size]] of which `body` holds one after the other."""
    start = 0
    parts = {}
    for digest, size in blobs:
        parts[path_of(place, digest)] = digest, body[start : start + size]
        start += size
    for digest, data in parts.values():
        if digest_of(data).hexdigest() != digest:
            raise Refused("corrupt", "blob %s arrived damaged; send it again" % digest)
    files.make_folders(place.store)
    _check_room(place, start)
    for path, (digest, data) in parts.items():
        if not os.path.exists(path):
            files.write_by(_partial(place, digest), path, data, 0o644)
    files.sync_dir(place.store)
    return {"stored": len(parts)}


def sweep_partial(place: Place, held: Set[str]) -> None:
    """Delete what came of blobs that nobody is sending any more."""
    try:
        names = os.listdir(place.store)
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith(PART) and name[len(PART) :] not in held:
            files.remove(os.path.join(place.store, name))


def own_digest() -> str:
    """Return the digest of the hand itself; "" where it did not come over a link."""
    return str(getattr(globals().get("__loader__"), "digest", ""))


def keep_hand(place: Place) -> None:
    """Leave the hand where the next visit looks for it, if this one had to bring it."""
    packed = getattr(globals().get("__loader__"), "packed", b"")
    if packed:
        try:
            own = own_digest()
            files.write_by(_partial(place, own), path_of(place, own), packed, 0o644)
        except OSError:
            # It only saves time, and a full disk is for those to report who need room.
            pass


def _partial(place: Place, sha256: str) -> str:
    path_of(place, sha256)
    os.makedirs(place.store, exist_ok=True)
    return os.path.join(place.store, PART + sha256)
