"""A full disk on the embedded host, whose root is a small tmpfs: refused, swept, or half-way."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builds_lab.packages import make_pack
from laws.bench import SOURCE, Bench, opened
from steersman.api.host import Disk
from steersman.builds.footprint import footprint
from steersman.control.converge import StepFailed
from steersman.control.target import Wanted
from steersman.embedded.host import embedded_host
from steersman.planning.disk import NoRoom
from steersman.planning.steps import MakeBuild, Upload
from steersman.planning.target import BuildTarget
from steersman.transport.blobs import put_blob
from steersman.transport.errors import HandError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]

MB = 10**6
DISK = 85 * MB
Opened = Callable[[int], Any]


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Opened]:
    """Return what connects to a host with a small disk, of which so many bytes stay free."""
    # Not in tmp_path: a socket's path has room for 107 bytes.
    with tempfile.TemporaryDirectory(prefix="steer-") as folder:
        disk = Path(folder, "h/srv")
        disk.mkdir(parents=True)
        mount(disk)
        try:
            async with embedded_host(Path(folder, "h")) as running:

                @asynccontextmanager
                async def connected(keep_free: int) -> AsyncIterator[Bench]:
                    spec = running.host.spec.model_copy(update={"disk": Disk(keep_free=keep_free)})
                    host = running.host.model_copy(update={"spec": spec})
                    async with opened(host, running.url, tmp_path) as bench:
                        yield bench

                yield connected
        finally:
            unmount(disk)


def mount(disk: Path) -> None:
    size = f"size={DISK}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "steer-test", str(disk)], check=True)


def unmount(disk: Path) -> None:
    subprocess.run(["umount", str(disk)], check=True)


async def big(bench: Bench, app: str, number: int, size: int, wheel: Path | None = None) -> Wanted:
    """Return a release of `app` with a file of `size` bytes that no other release has."""
    source = bench.blobs.add_file(SOURCE)
    filler = bench.blobs.add_bytes(number.to_bytes(2, "big") * (size // 2))
    packs: list[list[object]] = []
    if wheel is not None:
        pack = await make_pack(wheel.parent, bench.blobs, wheel)
        packs = [[wheel.name, pack.blob.sha256, pack.need.size, pack.need.files]]
    listed = {
        "files": [["serve.py", 0o644, source.sha256], ["filler", 0o644, filler.sha256]],
        "links": [],
        "packs": packs,
        "compiled": True,
    }
    manifest = bench.blobs.add_bytes(json.dumps(listed).encode())
    used = (source.sha256, filler.sha256, manifest.sha256, *(str(pack[1]) for pack in packs))
    python = str(bench.link.hello["python"])
    build = BuildTarget(manifest.sha256, manifest.sha256, python, used)
    return replace(bench.wanted(app, number, count=1), build=build)


def keeping(wanted: Wanted, *others: Wanted) -> Wanted:
    return replace(wanted, keep=frozenset(other.release_name for other in others))


def releases(bench: Bench, app: str) -> list[str]:
    folder = bench.root / "apps" / app / "releases"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


async def serving(bench: Bench) -> str:
    return (await bench.get("ship"))[1]["x-revision"]


def stored(bench: Bench) -> set[str]:
    """Return every file and folder of the store, whole or not."""
    return set(os.listdir(bench.root / "store"))


def free(bench: Bench) -> int:
    disk = os.statvfs(bench.root)
    return disk.f_bavail * disk.f_frsize


def fill(bench: Bench, but: int) -> Path:
    """Take all of the disk but so many bytes; what is returned gives them back when deleted."""
    hog = bench.root / "hog"
    with hog.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free(bench) - but)
    return hog


async def test_what_does_not_fit_is_refused_and_nothing_is_sent(small: Opened) -> None:
    async with small(50 * MB) as bench:
        first = await big(bench, "ship", 1, 10 * MB)
        await bench.deploy(first)
        before = stored(bench)
        sizes = free(bench)
        with pytest.raises(NoRoom) as refused:
            await bench.deploy(keeping(await big(bench, "ship", 2, 60 * MB), first))
        text = str(refused.value)
        assert "does not fit: it needs 6" in text
        assert "of 86M are free and 50M stay free (spec.disk.keepFree)" in text
        assert "then apply again" in text
        assert stored(bench) == before and free(bench) >= sizes
        assert releases(bench, "ship") == [first.release_name]
        assert await serving(bench) == "1"
    async with small(0) as bench:
        await bench.deploy(keeping(await big(bench, "ship", 2, 60 * MB), first))
        assert await serving(bench) == "2"


async def test_garbage_goes_first_if_only_then_it_fits(small: Opened) -> None:
    async with small(5 * MB) as bench:
        one, two, three = [await big(bench, "ship", number, 35 * MB) for number in (1, 2, 3)]
        await bench.deploy(one)
        await bench.deploy(keeping(two, one))
        assert free(bench) < 40 * MB, "the third would fit as it is: this proves nothing"
        assert len(releases(bench, "ship")) == 2
        sent = two.release_name
        steps = bench.plan(keeping(three, two), await bench.link.observe())
        upload = next(step for step in steps if isinstance(step, Upload))
        assert upload.garbage.releases == (one.release_name,)
        await bench.step("ship", upload, 1, 1)
        assert releases(bench, "ship") == [sent], "the running release must never go"
        assert await serving(bench) == "2"
        await bench.deploy(keeping(three, two))
        assert await serving(bench) == "3"


async def test_a_disk_that_fills_up_while_blobs_are_sent_keeps_no_part_of_them(
    small: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    hogs: list[Path] = []
    async with small(0) as bench:
        old = await big(bench, "ship", 1, 4 * MB)
        await bench.deploy(old)
        before = stored(bench)
        new = keeping(await big(bench, "ship", 2, 20 * MB), old)

        async def filling(link: Any, sha256: str, path: Path, **args: Any) -> bool:
            if path.stat().st_size > 4 * MB and not hogs:
                # As if the disk had filled up just after the hand saw that there was room.
                begun = await link.call("put_begin", sha256=sha256, size=path.stat().st_size)
                assert begun.header["have"] is False
                hogs.append(fill(bench, but=5 * MB))
                chunk = path.read_bytes()
                for at in range(0, len(chunk), MB):
                    await link.call(
                        "put", body=chunk[at : at + MB], offset=at, sha256=sha256, size=len(chunk)
                    )
            return await put_blob(link, sha256, path, **args)

        monkeypatch.setattr("steersman.control.hosts.put_blob", filling)
        with pytest.raises(StepFailed, match=r"could not upload .* No space left"):
            await bench.deploy(new)
        assert stored(bench) == before
        assert await serving(bench) == "1"
        with pytest.raises(NoRoom):
            await bench.deploy(new)
        hogs[0].unlink()
        await bench.deploy(new)
        assert await serving(bench) == "2"


async def test_a_disk_that_fills_up_while_a_venv_is_made_keeps_no_half_of_it(
    small: Opened, tmp_path: Path
) -> None:
    async with small(0) as bench:
        old = await big(bench, "ship", 1, MB)
        await bench.deploy(old)
        before, roomy = stored(bench), free(bench)
        new = keeping(await big(bench, "ship", 2, MB, wheel_of(tmp_path)), old)
        steps = bench.plan(new, await bench.link.observe())
        upload = next(step for step in steps if isinstance(step, Upload))
        making = next(step for step in steps if isinstance(step, MakeBuild))
        await bench.step("ship", upload, 1, 2)
        hog = fill(bench, but=MB)
        with pytest.raises(HandError, match=r"the disk is full: .*No space left"):
            await bench.step("ship", making, 2, 2)
        assert [path.name for path in (bench.root / "apps/ship/builds").iterdir()] == [
            old.build.digest
        ]
        assert stored(bench) == before
        hog.unlink()
        assert free(bench) >= roomy - 256 * 1024, "something of it is left"
        assert await serving(bench) == "1"
        await bench.deploy(new)
        assert await serving(bench) == "2"


async def test_the_estimate_is_a_little_more_than_what_a_build_takes(
    small: Opened, tmp_path: Path
) -> None:
    async with small(0) as bench:
        await bench.deploy(await big(bench, "ship", 1, MB))
        new = await big(bench, "ship", 2, 3 * MB, wheel_of(tmp_path))
        missing = (await bench.link.link.call("missing", digests=list(new.build.blobs))).header
        need = footprint(new.build.manifest, missing["missing"], bench.blobs.path)
        disk = os.statvfs(bench.root)
        before, inodes = free(bench), disk.f_favail
        await bench.deploy(keeping(new, await big(bench, "ship", 1, MB)))
        taken, files = before - free(bench), inodes - os.statvfs(bench.root).f_favail
        assert taken <= need.size <= 1.5 * taken
        assert files <= need.files <= 1.5 * files


async def test_a_venv_and_its_packs_go_with_its_last_build(small: Opened, tmp_path: Path) -> None:
    async with small(0) as bench:
        wheel = wheel_of(tmp_path)
        one, two = await big(bench, "ship", 1, MB, wheel), await big(bench, "ship", 2, MB)
        await bench.deploy(one)
        assert list((bench.root / "apps/ship/venvs").rglob("bulk")), "nothing is to be removed"
        await bench.deploy(two)
        assert not list((bench.root / "apps/ship/venvs").rglob("bulk"))
        assert not set(one.build.blobs) - set(two.build.blobs) & stored(bench)
        await bench.deploy(await big(bench, "ship", 3, MB, wheel))
        assert await serving(bench) == "3"


def wheel_of(folder: Path) -> Path:
    """Return a wheel of the standard library's modules: five megabytes of real code."""
    path = folder / "bulk-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for module in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
            wheel.write(module, f"bulk/{module.name}")
        info = "bulk-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: bulk\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path
