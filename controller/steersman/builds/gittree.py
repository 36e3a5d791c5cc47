"""A commit's tree read object by object: no checkout, so no filters, hooks or submodules."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from steersman.builds.blobs import BlobStore
from steersman.builds.children import Progress, feed, output, started
from steersman.builds.errors import SourceRefused, SourceUnreachable
from steersman.builds.gitcli import GitCli, reason
from steersman.builds.gitnames import inner_folder, source_name
from steersman.builds.model import Blob, FileEntry, GitSource, Symlink
from steersman.builds.paths import Tree
from steersman.builds.text import printable

_LINK, _EXECUTABLE, _SUBMODULE = "120000", "100755", "160000"
_LINK_BYTES = 4096
_CHUNK = 1 << 18

Entry = tuple[str, str, str]


async def read_tree(
    git: GitCli,
    folder: Path,
    source: GitSource,
    commit: str,
    blobs: BlobStore,
    progress: Progress,
) -> Tree:
    """Return the tree of `commit` (of its folder `source.path`), every file in `blobs`."""
    inner = inner_folder(source)
    root = commit if inner is None else f"{commit}:{inner}"
    done = await git.run(["ls-tree", "-r", "-z", "--full-tree", "--end-of-options", root], folder)
    if done.code != 0:
        raise SourceRefused(
            source_name(source),
            f"commit {commit[:12]} has no folder {inner} ({reason(done)})",
            "correct spec.source.git.path",
        )
    entries = [_entry(raw) for raw in done.stdout.split(b"\0") if raw]
    for mode, _, path in entries:
        if mode == _SUBMODULE:
            progress(f"left out {printable(path)}: submodules are not read")
    wanted = [entry for entry in entries if entry[0] != _SUBMODULE]
    argv = git.argv(["cat-file", "--batch"], folder)
    async with started(argv, env=git.env(folder), stdin=True) as child:
        names = "".join(f"{oid}\n" for _, oid, _ in wanted).encode()
        # Written while reading: git stops taking names when its answers are not taken.
        writing = asyncio.create_task(feed(child.stdin, names))
        try:
            return await _receive(output(child), source, wanted, blobs)
        except asyncio.IncompleteReadError as error:
            why = f"git ended in the middle of commit {commit[:12]}"
            raise SourceUnreachable(source_name(source), why) from error
        finally:
            writing.cancel()
            await asyncio.wait([writing])


async def _receive(
    reader: asyncio.StreamReader,
    source: GitSource,
    entries: Sequence[Entry],
    blobs: BlobStore,
) -> Tree:
    files: list[FileEntry] = []
    links: list[Symlink] = []
    for mode, oid, path in entries:
        size = await _size(reader, source, oid)
        if mode == _LINK:
            if size > _LINK_BYTES:
                why = f"the symlink {printable(path)} has a target of {size} bytes"
                raise SourceRefused(source_name(source), why, "remove that symlink")
            target = await reader.readexactly(size)
            links.append(Symlink(path, target.decode("utf-8", "surrogateescape")))
        else:
            blob = await _blob(reader, size, blobs)
            octal = 0o755 if mode == _EXECUTABLE else 0o644
            files.append(FileEntry(path, octal, blob.size, blob.sha256))
        await reader.readexactly(1)
    return Tree.of(source_name(source), files, links)


async def _size(reader: asyncio.StreamReader, source: GitSource, oid: str) -> int:
    header = (await reader.readuntil(b"\n")).split()
    if len(header) != 3 or header[1] != b"blob":
        raise SourceUnreachable(source_name(source), f"object {oid} is missing")
    return int(header[2])


async def _blob(reader: asyncio.StreamReader, size: int, blobs: BlobStore) -> Blob:
    if size <= _CHUNK:
        return blobs.add_bytes(await reader.readexactly(size))
    with blobs.writer() as writer:
        while size > 0:
            chunk = await reader.readexactly(min(size, _CHUNK))
            writer.write(chunk)
            size -= len(chunk)
    return writer.blob


def _entry(raw: bytes) -> Entry:
    facts, path = raw.split(b"\t", 1)
    mode, _, oid = facts.decode("ascii").split(" ")
    return mode, oid, path.decode("utf-8", "surrogateescape")
