"""Whether what a commit holds can be deployed, seen before any of it is: by names and sizes."""

from __future__ import annotations

import asyncio

from steersman.builds.children import output, started
from steersman.builds.errors import SourceRefused
from steersman.builds.model import FileEntry, Symlink
from steersman.builds.paths import Tree
from steersman.builds.text import printable
from steersman.server.git.depot import Depot
from steersman.server.git.updates import PushRefused

MANIFEST = "steersman.yaml"
MOST_FILES = 100_000

_MOST_LISTING = 32 << 20
_MOST_MANIFEST = 256 << 10
_MOST_TARGET = 4096
_LINK, _SUBMODULE = "120000", "160000"
_SECONDS = 60.0

Entry = tuple[str, str, int, str]
"""Mode, object, size and path."""


async def check_tree(
    depot: Depot, app: str, commit: str, quarantine: str, most: int, inner: str | None
) -> tuple[str, bytes] | None:
    """Return the manifest in a commit's tree and its path; raises PushRefused.

    `most` bounds what its files come to in bytes. The manifest lies at the top, or in the folder
    `inner`; there may be none.
    """
    entries = await _entries(depot, app, commit, quarantine)
    for mode, _, _, path in entries:
        if mode == _SUBMODULE:
            raise PushRefused(
                f"{printable(path)} is a submodule, and those are not deployed; vendor it (`git"
                f" rm --cached {printable(path)}`, then add its files) or require it as a package"
            )
    size = sum(each for _, _, each, _ in entries)
    if size > most:
        raise PushRefused(
            f"its files come to {size} bytes, and {most} are taken; keep data out of the"
            " repository, or raise git.maxTree in serve.yaml"
        )
    try:
        await _check_names(depot, app, quarantine, entries)
    except SourceRefused as error:
        raise PushRefused(str(error).removeprefix("source ")) from error
    files = {path: (oid, size) for mode, oid, size, path in entries if mode != _LINK}
    for path in (MANIFEST, f"{inner}/{MANIFEST}"):
        if path in files:
            return path, await _manifest(depot, app, quarantine, path, *files[path])
    return None


async def _entries(depot: Depot, app: str, commit: str, quarantine: str) -> list[Entry]:
    """Return all that a tree holds; a tree of trees may stand for more than anybody can read."""
    words = ["ls-tree", "-r", "-l", "-z", "--full-tree", "--end-of-options", commit]
    env = depot.env(app) | {"GIT_ALTERNATE_OBJECT_DIRECTORIES": quarantine}
    listed = bytearray()
    try:
        async with (
            asyncio.timeout(_SECONDS),
            started(depot.git.argv(words, depot.path(app)), env=env) as child,
        ):
            while chunk := await output(child).read(1 << 16):
                listed += chunk
                if len(listed) > _MOST_LISTING:
                    raise PushRefused("it holds more files than can be listed; remove most of them")
            code = await child.wait()
    except TimeoutError:
        raise PushRefused("it took too long to list its files; remove most of them") from None
    if code != 0:
        raise PushRefused("git could not list its files; push again")
    entries = [_entry(raw) for raw in bytes(listed).split(b"\0") if raw]
    if len(entries) > MOST_FILES:
        raise PushRefused(f"it holds {len(entries)} files, and {MOST_FILES} are taken; remove some")
    return entries


def _entry(raw: bytes) -> Entry:
    facts, path = raw.split(b"\t", 1)
    mode, _, oid, size = facts.decode("ascii").split()
    return mode, oid, int(size) if size.isdigit() else 0, path.decode("utf-8", "surrogateescape")


async def _check_names(depot: Depot, app: str, quarantine: str, entries: list[Entry]) -> None:
    links = [entry for entry in entries if entry[0] == _LINK]
    for _, _, size, path in links:
        if size > _MOST_TARGET:
            raise PushRefused(f"the symlink {printable(path)} is {size} bytes long; remove it")
    asked = "".join(f"{oid}\n" for _, oid, _, _ in links).encode()
    code, rest = (
        await depot.ask(app, ["cat-file", "--batch"], quarantine, asked) if links else (0, b"")
    )
    if code != 0:
        raise PushRefused("git could not read its symlinks; push again")
    symlinks = []
    for _, _, size, path in links:
        _, _, rest = rest.partition(b"\n")
        symlinks.append(Symlink(path, rest[:size].decode("utf-8", "surrogateescape")))
        rest = rest[size + 1 :]
    files = (FileEntry(path, 0, size, oid) for mode, oid, size, path in entries if mode != _LINK)
    Tree.of(f"the tree of {app}", files, symlinks)


async def _manifest(
    depot: Depot, app: str, quarantine: str, path: str, oid: str, size: int
) -> bytes:
    if size > _MOST_MANIFEST:
        raise PushRefused(f"{path} has {size} bytes; write at most {_MOST_MANIFEST}")
    code, text = await depot.ask(app, ["cat-file", "blob", oid], quarantine)
    if code != 0:
        raise PushRefused(f"git could not read {path}; push again")
    return text


async def commit_of(depot: Depot, app: str, sha: str, quarantine: str) -> str:
    """Return the commit that an object is or, as a tag is, about; raises PushRefused."""
    words = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{sha}^{{commit}}"]
    code, text = await depot.ask(app, words, quarantine)
    if code != 0:
        raise PushRefused(f"{sha[:12]} is no commit; push a commit, or a tag of one")
    return text.decode().split("\n")[0]


async def is_forward(depot: Depot, app: str, old: str, new: str, quarantine: str) -> bool:
    """Return whether a commit has another among what came before it."""
    words = ["merge-base", "--is-ancestor", old, new]
    code, _ = await depot.ask(app, words, quarantine)
    return code == 0


async def stands_at(depot: Depot, app: str, ref: str) -> str | None:
    """Return the object that a ref is at now, None if there is no such ref."""
    words = ["for-each-ref", "--format=%(objectname)", ref]
    code, text = await depot.ask(app, words)
    return text.decode().strip() or None if code == 0 else None
