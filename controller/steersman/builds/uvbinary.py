"""The uv binary that a host makes its venvs with, taken from uv's own wheel."""

import asyncio
import shutil
import zlib
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.tags import parse_tag

from steersman.builds.blobs import BlobStore
from steersman.builds.cache import Cache
from steersman.builds.children import Progress
from steersman.builds.errors import DependencyError
from steersman.builds.model import Blob
from steersman.builds.platforms import Platform
from steersman.builds.tools import Tools, dependency_error

_SIZE_LIMIT = 256 << 20
_GZIP = 31


async def uv_blob(
    platform: Platform, cache: Cache, blobs: BlobStore, tools: Tools, progress: Progress
) -> Blob:
    """Return the uv for `platform`, of the version installed here, packed by gzip."""
    installed = distribution("uv")
    key = f"{installed.version}-{platform.key}"
    record = cache.record("uv-gz", key)
    if record is not None and blobs.has(record["sha256"], record["size"]):
        return Blob(**record)
    if _runs_there(installed.read_text("WHEEL") or "", platform):
        blob = await asyncio.to_thread(_pack, Path(tools.uv), blobs)
    else:
        blob = await _download(installed.version, platform, cache, blobs, tools, progress)
    cache.keep("uv-gz", key, {"sha256": blob.sha256, "size": blob.size})
    return blob


def _runs_there(metadata: str, platform: Platform) -> bool:
    lines = [line.partition(": ") for line in metadata.splitlines()]
    tags = [tag for name, _, value in lines if name == "Tag" for tag in parse_tag(value.strip())]
    return not platform.tags.isdisjoint(tags)


async def _download(
    version: str,
    platform: Platform,
    cache: Cache,
    blobs: BlobStore,
    tools: Tools,
    progress: Progress,
) -> Blob:
    progress(f"downloading uv {version} for {platform.key}")
    with cache.scratch() as out:
        words = ["download", "--no-deps", "--only-binary=:all:", "--quiet"]
        options = [*platform.pip_arguments, "--dest", str(out), f"uv=={version}"]
        done = await tools.pip([*words, *options], None, out, progress)
        if done.code != 0:
            raise dependency_error(f"uv {version} for {platform.key}", done)
        return await asyncio.to_thread(_take_out, next(out.glob("uv-*.whl")), out, blobs)


def _pack(program: Path, blobs: BlobStore) -> Blob:
    """Add `program` in a third of its size: it is the largest thing a new host is sent."""
    with program.open("rb") as plain, blobs.writer() as writer:
        packer = zlib.compressobj(6, wbits=_GZIP)
        while chunk := plain.read(1 << 20):
            writer.write(packer.compress(chunk))
        writer.write(packer.flush())
    return writer.blob


def _take_out(wheel: Path, out: Path, blobs: BlobStore) -> Blob:
    with ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".data/scripts/uv") and member.file_size < _SIZE_LIMIT:
                target = out / "uv"
                with archive.open(member) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
                return _pack(target, blobs)
    raise DependencyError(wheel.name, "it holds no uv binary", "install another version of uv")
