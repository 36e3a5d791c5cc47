"""Packs: wheels as the files they install, with their bytecode, ready to be written on hosts.

A pack is a zlib stream: the length of its index (four bytes, big-endian), the index, and the files
one after the other. The index is JSON, a row for each file: its path relative to the venv, its
mode, its size, and whether it is a script, which gets the venv's Python as its first line.
"""

import asyncio
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import orjson

from steersman.builds import bytecode
from steersman.builds.blobs import BlobStore, BlobWriter
from steersman.builds.cache import Cache
from steersman.builds.errors import DependencyError
from steersman.builds.footprint import compiled, unpacked
from steersman.builds.installed import Installed, installed
from steersman.builds.model import Blob, FileEntry, Wheel, digest_of
from steersman.builds.platforms import Platform
from steersman.planning.disk import Need

# Raised when the same wheel would give another pack than before.
_PACKER = 1
_LEVEL = 6
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack, and what its files take on a host's disk."""

    blob: Blob
    need: Need


class Packer:
    """Makes packs of wheels, and bytecode of a source's modules, for hosts of one platform."""

    def __init__(self, cache: Cache, blobs: BlobStore, platform: Platform) -> None:
        self._cache = cache
        self.blobs = blobs
        self._platform = platform
        self._magic = bytecode.MAGIC if bytecode.compiles_for(platform) else ""
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)

    @property
    def compiles(self) -> bool:
        """Whether packs hold bytecode; hosts compile by themselves if not."""
        return self._magic != ""

    def known(self, wheel: Wheel) -> Pack | None:
        record = self._cache.record("packs", self._key(wheel))
        pack = Pack(Blob(**record["blob"]), Need(**record["need"])) if record is not None else None
        return pack if pack is not None and self.blobs.has(pack.blob.sha256) else None

    async def pack(self, wheel: Wheel) -> Pack:
        """Return the pack of `wheel`, made now unless it is known."""
        known = self.known(wheel)
        if known is not None:
            return known
        async with self._slots:
            with self._cache.scratch() as scratch:
                pack = await self._make(wheel, scratch)
        self._cache.keep("packs", self._key(wheel), asdict(pack))
        return pack

    def _key(self, wheel: Wheel) -> str:
        return digest_of([_PACKER, wheel.sha256, self._platform.python, self._magic])

    async def _make(self, wheel: Wheel, scratch: Path) -> Pack:
        try:
            with ZipFile(self.blobs.path(wheel.sha256)) as archive:
                files = installed(wheel.filename, archive, self._platform.python)
                modules = [f for f in files if self.compiles and _is_module(f)]
                await asyncio.to_thread(_extract, archive, modules, scratch)
                pairs = {f.path: _numbered(scratch, n) for n, f in enumerate(modules)}
                await bytecode.compile_all(pairs.values())
                return await asyncio.to_thread(self._write, archive, files, pairs)
        except (BadZipFile, zlib.error, EOFError) as error:
            way_out = "remove the file from the cache and apply again"
            raise DependencyError(f"wheel {wheel.filename}", str(error), way_out) from error

    def _write(
        self, archive: ZipFile, files: Iterable[Installed], pairs: dict[str, tuple[Path, Path]]
    ) -> Pack:
        rows: list[tuple[str, int, int, bool]] = []
        parts: list[Installed | Path] = []
        for file in files:
            size = file.member.file_size if file.member is not None else len(file.text)
            rows.append((file.path, file.mode, size, file.is_script))
            parts.append(file)
            made = pairs[file.path][1] if file.path in pairs else None
            if made is not None and made.exists():
                path = bytecode.cached_path(file.path)
                rows.append((path, 0o644, made.stat().st_size, False))
                parts.append(made)
        sizes = [(path, size) for path, _, size, _ in rows]
        need = unpacked(sizes) if self.compiles else unpacked(sizes) + compiled(sizes)
        return Pack(_packed(archive, orjson.dumps(rows), parts, self.blobs), need)

    async def compiled(self, files: Sequence[FileEntry]) -> list[tuple[str, Blob]]:
        """Return path and blob of the bytecode of those files that are modules."""
        modules = [f for f in files if self.compiles and f.path.endswith(".py")]
        known = {f.sha256: self._kept("bytecode", [f.sha256, self._magic]) for f in modules}
        missing = [sha256 for sha256, blob in known.items() if blob is None]
        if missing:
            with self._cache.scratch() as scratch:
                targets = {sha256: scratch / sha256 for sha256 in missing}
                await bytecode.compile_all((self.blobs.path(s), t) for s, t in targets.items())
                for sha256, target in targets.items():
                    # What does not compile gets an empty file, which Python passes over.
                    data = target.read_bytes() if target.exists() else b""
                    blob = known[sha256] = self.blobs.add_bytes(data)
                    key = digest_of([sha256, self._magic])
                    self._cache.keep("bytecode", key, asdict(blob))
        found = [(bytecode.cached_path(f.path), known[f.sha256]) for f in modules]
        return [(path, blob) for path, blob in found if blob is not None and blob.size]

    def recall(self, digest: str) -> Any:
        """Return what was remembered of a build's delivery if all its blobs are still here."""
        record = self._cache.record("deliveries", self._delivery(digest))
        is_whole = record is not None and all(map(self.blobs.has, record["blobs"]))
        return record if is_whole else None

    def remember(self, digest: str, record: Mapping[str, Any]) -> None:
        self._cache.keep("deliveries", self._delivery(digest), record)

    def _delivery(self, digest: str) -> str:
        return digest_of([_PACKER, digest, self._platform.key, self._magic])

    def _kept(self, kind: str, key: Sequence[object]) -> Blob | None:
        record = self._cache.record(kind, digest_of(list(key)))
        blob = Blob(**record) if record is not None else None
        return blob if blob is not None and self.blobs.has(blob.sha256, blob.size) else None


def _is_module(file: Installed) -> bool:
    return file.path.endswith(".py") and "/site-packages/" in file.path


def _numbered(scratch: Path, number: int) -> tuple[Path, Path]:
    return scratch / f"{number}.py", scratch / f"{number}.pyc"


def _extract(archive: ZipFile, modules: Sequence[Installed], scratch: Path) -> None:
    for number, module in enumerate(modules):
        if module.member is not None:
            _numbered(scratch, number)[0].write_bytes(archive.read(module.member))


def _packed(
    archive: ZipFile, index: bytes, parts: Iterable[Installed | Path], blobs: BlobStore
) -> Blob:
    with blobs.writer() as writer:
        packer = _Packing(writer)
        packer.write(len(index).to_bytes(4, "big") + index)
        for part in parts:
            for chunk in _content(archive, part):
                packer.write(chunk)
        packer.end()
    return writer.blob


def _content(archive: ZipFile, part: Installed | Path) -> Iterator[bytes]:
    if isinstance(part, Path):
        yield part.read_bytes()
    elif part.member is None:
        yield part.text
    else:
        with archive.open(part.member) as file:
            while chunk := file.read(_CHUNK):
                yield chunk


class _Packing:
    """Compresses what goes into a blob."""

    def __init__(self, writer: BlobWriter) -> None:
        self._writer = writer
        self._zlib = zlib.compressobj(_LEVEL)

    def write(self, data: bytes) -> None:
        self._writer.write(self._zlib.compress(data))

    def end(self) -> None:
        self._writer.write(self._zlib.flush())
