"""SHA-256: a light one for what every look needs, a fast one for whole blobs."""

from __future__ import annotations

try:
    # hashlib would start OpenSSL: more than the rest of a look at a host costs.
    from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    try:
        from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from hashlib import sha256

__all__ = ["sha256", "sha256_of"]

LARGE = 1 << 18


def sha256_of(path: str) -> str:
    """Return the hex digest of a file."""
    with open(path, "rb") as file:
        head = file.read(LARGE)
        if len(head) < LARGE:
            return str(sha256(head).hexdigest())
        from hashlib import sha256 as fast

        whole = fast(head)
        for chunk in iter(lambda: file.read(1 << 20), b""):
            whole.update(chunk)
    return whole.hexdigest()
