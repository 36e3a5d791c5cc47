"""A build as hosts get it: one blob that lists it, and the blobs it is made of."""

import asyncio
from dataclasses import asdict, dataclass

import orjson

from steersman.builds.children import Progress
from steersman.builds.model import Build
from steersman.builds.packs import Packer


@dataclass(frozen=True, slots=True)
class Delivery:
    """`manifest` is the blob that `hand/builds.py` reads; `blobs` are all that it needs, sorted."""

    manifest: str
    blobs: tuple[str, ...]


async def deliver(build: Build, packer: Packer, progress: Progress) -> Delivery:
    """Return the delivery of `build`, looked up if it was made before and is whole."""
    known = packer.recall(build.digest)
    if known is not None:
        return Delivery(known["manifest"], tuple(known["blobs"]))
    wheels = build.manifest.wheels
    new = [wheel for wheel in wheels if packer.known(wheel) is None]
    if new:
        progress(f"packing {len(new)} wheel{'' if len(new) == 1 else 's'} for {build.platform}")
    packs = await asyncio.gather(*(packer.pack(wheel) for wheel in wheels))
    compiled = await packer.compiled(build.manifest.files)
    files = [[file.path, file.mode, file.sha256] for file in build.manifest.files]
    files += [[path, 0o644, blob.sha256] for path, blob in compiled]
    listed = {
        "files": files,
        "links": [[link.path, link.target] for link in build.manifest.symlinks],
        "packs": [
            [wheel.filename, pack.blob.sha256, pack.need.size, pack.need.files]
            for wheel, pack in zip(wheels, packs, strict=True)
        ],
        "compiled": packer.compiles,
    }
    manifest = packer.blobs.add_bytes(orjson.dumps(listed)).sha256
    parts = {manifest, *(str(file[2]) for file in files), *(pack.blob.sha256 for pack in packs)}
    made = Delivery(manifest, tuple(sorted(parts)))
    packer.remember(build.digest, asdict(made))
    return made
