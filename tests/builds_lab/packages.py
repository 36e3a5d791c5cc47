"""Small wheels and source distributions, made by hand so that no test waits for an index."""

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

from steersman.builds import BlobStore, Platform, Wheel
from steersman.builds.cache import Cache
from steersman.builds.packs import Pack, Packer

_BACKEND = """
import base64, hashlib, zipfile
def get_requires_for_build_wheel(config_settings=None):
    return []
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "{name}-{version}-{tag}.whl"
    info = "{name}-{version}.dist-info"
    with zipfile.ZipFile(directory + "/" + name, "w") as wheel:
        wheel.writestr(zipfile.ZipInfo("{name}.py"), "VERSION = '{version}'")
        wheel.writestr(zipfile.ZipInfo(info + "/METADATA"),
            "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        wheel.writestr(zipfile.ZipInfo(info + "/WHEEL"),
            "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: {tag}\\n")
        wheel.writestr(zipfile.ZipInfo(info + "/RECORD"), "")
    return name
"""


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    needs: tuple[str, ...] = (),
    tag: str = "py3-none-any",
    code: str = "",
) -> str:
    """Write a wheel and return its hash as a requirements file writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": f"VERSION = '{version}'\n{code}",
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},{_record(text)},{len(text)}\n" for path, text in files.items())
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in (files | {f"{info}/RECORD": record + f"{info}/RECORD,,\n"}).items():
            wheel.writestr(zipfile.ZipInfo(member), text)
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def make_sdist(folder: Path, name: str, version: str, tag: str = "py3-none-any") -> str:
    """Write a source distribution with a build backend inside, and return its hash."""
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
        'backend-path = ["."]\n',
        "backend.py": backend_code(name, version, tag),
    }
    return _pack_sdist(folder, name, version, files)


def make_sdist_for(backend: str, folder: Path, name: str, version: str) -> str:
    """Write a source distribution that a package of that name builds, and return its hash."""
    text = f'[build-system]\nrequires = ["{backend}"]\nbuild-backend = "{backend}"\n'
    return _pack_sdist(folder, name, version, {"pyproject.toml": text})


def backend_code(name: str, version: str, tag: str = "py3-none-any") -> str:
    """Return a module that builds one wheel, whatever the source is."""
    return _BACKEND.format(name=name, version=version, tag=tag)


def _pack_sdist(folder: Path, name: str, version: str, files: dict[str, str]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    root = f"{name}-{version}"
    info = {"PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    path = folder / f"{root}.tar.gz"
    with gzip.GzipFile(path, "wb", mtime=0) as zipped, tarfile.open(None, "w", zipped) as archive:
        for member, text in (info | files).items():
            entry = tarfile.TarInfo(f"{root}/{member}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def project_files(name: str, version: str) -> dict[str, str]:
    """Return a project that builds its own wheel without any index."""
    return {
        "pyproject.toml": f'[project]\nname = "{name}"\nversion = "{version}"\n'
        f'[project.scripts]\n{name} = "{name}:main"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": _BACKEND.format(name=name, version=version, tag="py3-none-any"),
    }


async def make_pack(folder: Path, blobs: BlobStore, wheel: Path) -> Pack:
    """Return the pack of a wheel for this Python, made into `blobs`; `folder` is its cache."""
    whole = blobs.add_file(wheel)
    packer = Packer(Cache(folder), blobs, Platform.here())
    return await packer.pack(Wheel(wheel.name, whole.size, whole.sha256))


def _record(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
