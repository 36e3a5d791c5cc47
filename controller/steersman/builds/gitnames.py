"""Which repository URLs and refs are taken, and what a ref may stand for."""

import hashlib
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from steersman.builds.errors import SourceRefused
from steersman.builds.model import GitSource
from steersman.builds.paths import check_path
from steersman.builds.text import clean, printable

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
ABBREVIATED = re.compile(r"[0-9a-f]{4,64}")
_REF_BYTES = 200
# git check-ref-format: what no part of a ref may hold, begin or end with.
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[-./]|[./]$|^@$")
_SCP = re.compile(r"[A-Za-z0-9._~-]+@?[A-Za-z0-9._-]*:(?!:)[^:].*")


def source_name(source: GitSource) -> str:
    return clean(source.url)


def check_git_source(source: GitSource) -> None:
    """Refuse transports that run commands, refs that are options, paths that climb."""
    name = source_name(source)
    if not _is_taken(source.url):
        raise SourceRefused(
            name, "only https, ssh and file are read", "use an https:// or ssh:// URL, or a path"
        )
    if _BAD_REF.search(source.ref) or not source.ref or len(source.ref.encode()) > _REF_BYTES:
        raise SourceRefused(
            name,
            f"{printable(source.ref)!r} is no ref",
            "set spec.source.git.ref to a branch, tag or commit",
        )
    folder = inner_folder(source)
    if folder is not None:
        check_path(name, folder)


def inner_folder(source: GitSource) -> str | None:
    """Return `source.path` without needless dots and slashes, or None for the whole tree."""
    folder = str(PurePosixPath(source.path or "."))
    return None if folder == "." else folder


def local_folder(url: str) -> Path | None:
    """Return where a path or a file: URL points, or None for a repository elsewhere."""
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path)).resolve()
    if url.startswith(("/", "./", "../", "~/")):
        return Path(url).expanduser().resolve()
    return None


def meanings(ref: str) -> tuple[str, ...]:
    """Return the full names that `ref` may stand for, the likeliest first."""
    if ref == "HEAD" or ref.startswith("refs/"):
        return (ref,)
    # A branch must never take the place of the commit that its name spells.
    if COMMIT.fullmatch(ref):
        return ()
    return (f"refs/heads/{ref}", f"refs/tags/{ref}")


def mirror_name(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:32]


def _is_taken(url: str) -> bool:
    if not url.isprintable() or " " in url or url.startswith("-"):
        return False
    if local_folder(url) is not None:
        return urlsplit(url).netloc in ("", "localhost")
    if "://" in url:
        parts = urlsplit(url)
        host = parts.hostname or "-"
        return parts.scheme in ("https", "ssh") and not host.startswith("-")
    return _SCP.fullmatch(url) is not None and "/" not in url.split(":", 1)[0]
