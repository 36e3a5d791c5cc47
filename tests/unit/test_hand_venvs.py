"""Venvs on a host: one for all builds of an app with the same wheels, whole or made again."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from uv import find_uv_bin

from steersman.hand import blobs, builds, garbage
from steersman.hand.place import Place, place_from

UV = "f" * 64


@pytest.fixture
def place(tmp_path: Path) -> Place:
    names = ("run", "units", "sites", "tmpfiles")
    paths = {"root": str(tmp_path / "srv"), **{name: str(tmp_path / name) for name in names}}
    place = place_from({**paths, "supervisor": "systemd", "proxy": "none", "scope": "user"})
    os.makedirs(place.store)
    os.makedirs(os.path.join(place.root, "bin"))
    os.symlink(find_uv_bin(), os.path.join(place.root, "bin", UV))
    return place


def stored(place: Place, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    Path(place.store, digest).write_bytes(data)
    return digest


def wheel(place: Place, folder: Path, name: str) -> list[str]:
    """Put the wheel of a package with one empty module into the store, as a manifest lists it."""
    path, info = folder / f"{name}-1-py3-none-any.whl", f"{name}-1.dist-info"
    said = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{file},sha256={_short(text)},{len(text)}" for file, text in said.items()]
    with ZipFile(path, "w") as archive:
        for file, text in {**said, f"{info}/RECORD": "\n".join([*rows, ""])}.items():
            archive.writestr(file, text)
    return [path.name, stored(place, path.read_bytes())]


def _short(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def build(place: Place, code: str, *wheels: list[str]) -> str:
    """Make the build of one file and these wheels; return its digest."""
    files = [["app.py", 0o644, stored(place, code.encode())]]
    manifest = {"files": files, "links": [], "wheels": wheels, "uv": UV}
    digest = stored(place, json.dumps(manifest).encode())
    builds.make_build(place, "shop", digest, digest, UV, sys.executable)
    return digest


def venv(place: Place, digest: str) -> Path:
    return Path(place.app("shop", "builds", digest, "venv"))


def installed(place: Place, digest: str) -> set[str]:
    return {path.stem for path in venv(place, digest).glob("lib/python*/site-packages/*.py")}


def test_builds_with_the_same_wheels_share_what_was_compiled(place: Place, tmp_path: Path) -> None:
    rope, tar = wheel(place, tmp_path, "rope"), wheel(place, tmp_path, "tar")
    one, two = build(place, "1", rope, tar), build(place, "2", tar, rope)
    other = build(place, "2", rope)
    assert venv(place, one).resolve() == venv(place, two).resolve()
    assert list(venv(place, two).glob("lib/python*/site-packages/__pycache__/rope.*.pyc"))
    assert installed(place, two) >= {"rope", "tar"}
    assert "tar" not in installed(place, other)


def test_a_venv_goes_with_its_last_build(place: Place, tmp_path: Path) -> None:
    rope = wheel(place, tmp_path, "rope")
    one, two = build(place, "1", rope), build(place, "2", rope)
    shared = venv(place, one).resolve()
    garbage.collect(place, "shop", [], [one], [], set())
    assert "rope" in installed(place, two)
    garbage.collect(place, "shop", [], [two], [], set())
    assert not shared.exists()


def test_a_venv_that_a_crash_left_half_is_made_again(place: Place, tmp_path: Path) -> None:
    rope = wheel(place, tmp_path, "rope")
    shared = venv(place, build(place, "1", rope)).resolve()
    (shared / builds.VENV_MARK).unlink()
    next(shared.glob("lib/python*/site-packages/rope.py")).unlink()
    assert "rope" in installed(place, build(place, "2", rope))


class Loader:
    """How the hand knows itself on a host."""

    packed = b"the hand as it came"
    digest = hashlib.sha256(packed).hexdigest()


@pytest.fixture
def kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hand is looked for at the next visit."""
    monkeypatch.setattr(blobs, "__loader__", Loader)
    return Path(place.store, Loader.digest)


def test_the_hand_stays_as_long_as_anything_is_built(place: Place, kept: Path) -> None:
    one, two = build(place, "1"), build(place, "2")
    older = stored(place, b"the hand of an older steer")
    blobs.keep_hand(place)
    assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (Loader.packed, 0o644)
    garbage.collect(place, "shop", [], [one], [], set())
    assert kept.exists() and not Path(place.store, older).exists()
    garbage.collect(place, "shop", [], [two], [], set())
    assert not os.listdir(place.store)


def test_a_hand_that_was_there_is_left_as_it_is(
    place: Place, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loader, "packed", b"")
    blobs.keep_hand(place)
    assert not kept.exists()
