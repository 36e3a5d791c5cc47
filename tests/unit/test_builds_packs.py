"""Packs against uv, the installer that many trust: the same files with the same content."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from builds_lab.packages import make_pack
from steersman.builds import Blob, BlobStore, FileEntry, Platform, Wheel
from steersman.builds.cache import Cache
from steersman.builds.errors import DependencyError
from steersman.builds.packs import Packer
from steersman.hand import venvs
from steersman.hand.place import Place, place_from

HERE = Platform.here()
NAME = "Rope_Tools-1.0-py3-none-any.whl"
INFO = "Rope_Tools-1.0.dist-info"
DATA = "Rope_Tools-1.0.data"
METADATA = {
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: Rope_Tools\nVersion: 1.0\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
FULL = {
    **METADATA,
    "rope/__init__.py": "def main():\n    print('hauled by', __name__)\n",
    "rope/deep/knots.txt": "bowline\n",
    "rope/old.py": "print 'no Python of today'\n",
    "rope/helper.sh": "#!/bin/sh\n",
    f"{DATA}/purelib/pure.py": "x = 1\n",
    f"{DATA}/platlib/plat.py": "x = 2\n",
    f"{DATA}/scripts/splice": "#!python\nimport rope\nrope.main()\n",
    f"{DATA}/scripts/plain.sh": "#!/bin/sh\necho plain\n",
    f"{DATA}/data/share/rope/manual, part 1.txt": "coil it\n",
    f"{DATA}/headers/rope.h": "#define ROPE 1\n",
    f"{INFO}/entry_points.txt": "[console_scripts]\nhaul = rope:main\nHaul-It = rope:main [x]\n"
    "[gui_scripts]\nwatch = rope:main\n[other]\nthing = rope\n",
}
# What uv leaves in a venv of itself, or writes in words of its own.
UVS = {
    "pyvenv.cfg", ".lock", ".gitignore", "CACHEDIR.TAG", "direct_url.json", "uv_cache.json",
    "uv_build.json", "REQUESTED", "INSTALLER", "_virtualenv.py", "_virtualenv.pth",
}  # fmt: skip


def write_wheel(folder: Path, files: Mapping[str, str], name: str = NAME) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in files.items():
            entry = zipfile.ZipInfo(member)
            entry.external_attr = (0o755 if member.endswith(".sh") else 0o644) << 16
            wheel.writestr(entry, text)
        wheel.writestr(f"{INFO}/RECORD", "".join(f'"{n}",,\n' for n in [*files, f"{INFO}/RECORD"]))
    return path


def place_of(folder: Path) -> Place:
    names = ("root", "run", "units", "sites", "tmpfiles")
    paths = {name: str(folder / name) for name in names}
    return place_from({**paths, "supervisor": "systemd", "proxy": "none", "scope": "user"})


async def by_us(folder: Path, wheel: Path) -> Path:
    """Return a venv with the wheel as the hand makes it."""
    own, place = BlobStore(folder), place_of(folder)
    pack = (await make_pack(folder, own, wheel)).blob
    Path(place.store).mkdir(parents=True)
    Path(place.store, pack.sha256).write_bytes(own.path(pack.sha256).read_bytes())
    packs = [(wheel.name, pack.sha256)]
    return Path(venvs.venv_of(place, "shop", packs, HERE.python, True))


def by_uv(folder: Path, wheel: Path) -> Path:
    venv = folder / "uvs"
    python = ["--python", str(venv / "bin/python")]
    base = f"{sys.base_prefix}/bin/python{HERE.python}"
    for words in (
        ["venv", "--no-project", "--python", base, str(venv)],
        ["pip", "install", "--offline", "--no-deps", "--compile-bytecode", *python, str(wheel)],
    ):
        subprocess.run([find_uv_bin(), "--quiet", "--no-config", *words], check=True)
    return venv


def said(*argv: str | Path) -> str:
    """Return what a program wrote, which must be no complaint."""
    ran = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return ran.stdout


def tree(venv: Path) -> dict[str, tuple[int, str]]:
    """Return mode and content of each file that an installed distribution has."""
    found = {}
    for path in venv.rglob("*"):
        name = str(path.relative_to(venv))
        if path.is_dir() or path.name in {*UVS, venvs.MARK} or name.startswith("bin/activate"):
            continue
        if name.startswith("bin/") and path.suffix in (".bat", ".csh", ".fish", ".nu", ".ps1"):
            continue
        if name in ("bin/deactivate.bat", "bin/pydoc.bat", "bin/activate_this.py"):
            continue
        text = path.read_bytes().replace(bytes(venv), b"VENV")
        is_made = path.suffix == ".pyc" or path.is_symlink() or path.name == "RECORD"
        found[name] = path.lstat().st_mode, "" if is_made else text.decode()
    return found


async def test_a_wheel_with_everything_is_installed_as_uv_does_it(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, FULL)
    ours, uvs = await by_us(tmp_path, wheel), by_uv(tmp_path, wheel)
    mine, theirs = tree(ours), tree(uvs)
    made = {f"bin/{name}" for name in ("haul", "Haul-It", "watch")}
    assert mine.keys() == theirs.keys()
    for name in mine.keys() - made:
        assert mine[name] == theirs[name], name
    for name in made:
        assert mine[name][0] == theirs[name][0]
    for program in ("haul", "Haul-It", "watch", "splice"):
        for venv in (ours, uvs):
            assert said(venv / "bin" / program) == "hauled by rope\n", program


async def test_an_installed_distribution_knows_its_files(tmp_path: Path) -> None:
    venv = await by_us(tmp_path, write_wheel(tmp_path, FULL))
    ask = """\
import importlib.metadata as m, json
d = m.distribution("rope-tools")
print(json.dumps([d.version, sorted(str(f.locate().resolve()) for f in d.files)]))
"""
    version, files = json.loads(said(venv / "bin/python", "-c", ask))
    assert version == "1.0"
    assert str(venv / "share/rope/manual, part 1.txt") in files
    assert str(venv / "bin/haul") in files
    assert all(Path(file).exists() for file in files)


async def test_bytecode_is_used_although_the_files_have_other_times(tmp_path: Path) -> None:
    venv = await by_us(tmp_path, write_wheel(tmp_path, FULL))
    site = venv / "lib" / f"python{HERE.python}" / "site-packages"
    (site / "pure.py").write_text("x = 'the source was read'\n")
    assert said(venv / "bin/python", "-c", "import pure; print(pure.x)") == "1\n"
    where = "import rope; print(rope.main.__code__.co_filename)"
    assert said(venv / "bin/python", "-c", where) == f"{site}/rope/__init__.py\n"
    assert not list(site.glob("rope/__pycache__/old.*"))


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"../../../bin/python": "x"}, "outside the environment"),
        ({f"{DATA}/data/../../x": "x"}, "outside the environment"),
        ({f"{DATA}/scripts/a/../../../x": "x"}, "outside the environment"),
        ({f"{DATA}/odd/x": "x"}, "data of an unknown kind, odd"),
        ({"other-1.dist-info/METADATA": "x"}, "2 .dist-info folders"),
        ({f"{INFO}/entry_points.txt": "[console_scripts]\n../x = a:b\n"}, "outside"),
        ({f"{INFO}/entry_points.txt": "[console_scripts]\nx = a;import os:b\n"}, "module:function"),
        ({f"{INFO}/entry_points.txt": "[console_scripts\n"}, "cannot be read"),
    ],
)
async def test_a_wheel_that_is_not_made_as_wheels_are_is_refused(
    tmp_path: Path, files: dict[str, str], why: str
) -> None:
    wheel = write_wheel(tmp_path, {**METADATA, **files})
    with pytest.raises(DependencyError, match=why):
        await make_pack(tmp_path, BlobStore(tmp_path), wheel)


async def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"PK, or so they say")
    with pytest.raises(DependencyError, match="not a zip file; remove the file from the cache"):
        await make_pack(tmp_path, BlobStore(tmp_path), path)


async def test_a_pack_is_made_once_for_each_python(tmp_path: Path) -> None:
    own = BlobStore(tmp_path)
    blob = own.add_file(write_wheel(tmp_path, FULL))
    wheel, cache = Wheel(NAME, blob.size, blob.sha256), Cache(tmp_path)
    first = Packer(cache, own, HERE)
    assert first.known(wheel) is None
    made = await first.pack(wheel)
    assert Packer(cache, own, HERE).known(wheel) == made
    other = Packer(cache, own, replace(HERE, python="3.99"))
    assert other.known(wheel) is None and not other.compiles
    again = tmp_path / "again"
    again.mkdir()
    assert await make_pack(again, BlobStore(again), write_wheel(again, FULL)) == made
    own.path(made.blob.sha256).unlink()
    assert first.known(wheel) is None


async def test_modules_of_a_source_are_compiled_once(tmp_path: Path) -> None:
    own = BlobStore(tmp_path)
    texts = {"app.py": b"x = 1\n", "sub/old.py": b"print 'x'\n", "notes.txt": b"x"}
    blobs: dict[str, Blob] = {name: own.add_bytes(text) for name, text in texts.items()}
    files = [FileEntry(name, 0o644, b.size, b.sha256) for name, b in blobs.items()]
    packer = Packer(Cache(tmp_path), own, HERE)
    made = await packer.compiled(files)
    tag = sys.implementation.cache_tag
    assert [path for path, _ in made] == [f"__pycache__/app.{tag}.pyc"]
    assert await packer.compiled(files) == made
    assert await Packer(Cache(tmp_path), own, replace(HERE, python="3.99")).compiled(files) == []
