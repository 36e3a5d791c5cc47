"""Venvs on a host: one for all builds of an app with the same wheels, whole or made again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builds_lab.packages import make_pack, make_wheel
from steersman.builds import BlobStore, Platform
from steersman.hand import blobs, builds, garbage, venvs
from steersman.hand.place import Place, place_from
from steersman.hand.steps import Steps
from steersman.hand.wire import Refused


class CutOff(Exception):
    """The hand was killed there."""


def cut_off(*args: object) -> None:
    raise CutOff


@pytest.fixture
def place(tmp_path: Path) -> Place:
    names = ("run", "units", "sites", "tmpfiles")
    paths = {"root": str(tmp_path / "srv"), **{name: str(tmp_path / name) for name in names}}
    place = place_from({**paths, "supervisor": "systemd", "proxy": "none", "scope": "user"})
    os.makedirs(place.store)
    return place


def stored(place: Place, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    Path(place.store, digest).write_bytes(data)
    return digest


def wheel(place: Place, folder: Path, name: str) -> list[object]:
    """Put the pack of a package with one small module into the store, as a manifest lists it."""
    make_wheel(folder, name, "1")
    path, own = folder / f"{name}-1-py3-none-any.whl", BlobStore(folder)
    pack = asyncio.run(make_pack(folder, own, path))
    digest = stored(place, own.path(pack.blob.sha256).read_bytes())
    return [path.name, digest, pack.need.size, pack.need.files]


def build(place: Place, code: str, *packs: list[object], is_compiled: bool = True) -> str:
    """Make the build of one file and these packs; return its digest."""
    files = [["app.py", 0o644, stored(place, code.encode())]]
    manifest = {"files": files, "links": [], "packs": packs, "compiled": is_compiled}
    digest = stored(place, json.dumps(manifest).encode())
    builds.make_build(place, "shop", digest, digest, Platform.here().python)
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
    (shared / venvs.MARK).unlink()
    next(shared.glob("lib/python*/site-packages/rope.py")).unlink()
    assert "rope" in installed(place, build(place, "2", rope))


def test_a_pack_that_the_disk_has_lost_is_asked_for_again(place: Place, tmp_path: Path) -> None:
    rope = wheel(place, tmp_path, "rope")
    digest = str(rope[1])
    path = Path(place.store, digest)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(Refused, match=r"the pack of rope-1-py3-none-any\.whl was damaged"):
        build(place, "1", rope)
    assert blobs.missing(place, [digest]) == [digest]
    assert os.listdir(place.app("shop", "venvs")) == os.listdir(place.app("shop", "builds")) == []


def test_a_build_of_an_older_steersman_is_in_nobodys_way(place: Place) -> None:
    new = build(place, "1")
    older = stored(place, json.dumps({"files": [], "links": [], "wheels": [], "uv": "f"}).encode())
    folder = Path(place.app("shop", "builds", older))
    folder.mkdir()
    (folder / builds.MARK).write_text(json.dumps({"manifest": older}))
    garbage.collect(place, "shop", [], [], [], set())
    assert {new, older} <= set(os.listdir(place.store))


def test_a_host_with_another_python_compiles_by_itself(place: Place, tmp_path: Path) -> None:
    digest = build(place, "x = 1\n", is_compiled=False)
    assert list(Path(place.app("shop", "builds", digest, "src")).glob("__pycache__/app.*.pyc"))


@pytest.mark.parametrize("folder", ["plain", "with a space", "long" * 40])
def test_a_script_finds_its_python_wherever_that_is(tmp_path: Path, folder: str) -> None:
    python = tmp_path / folder / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    script = tmp_path / "script"
    script.write_bytes(venvs.shebang(str(python)) + b"import sys\nprint(*sys.argv[1:])\n")
    script.chmod(0o755)
    said = subprocess.run([script, "a", "b  c"], capture_output=True, text=True, check=True)
    assert said.stdout == "a b  c\n"


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


def test_a_collection_that_was_cut_off_is_seen_and_begun_again(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = build(place, "1", wheel(place, tmp_path, "rope")), build(place, "2")
    builds.make_release(place, "shop", "1-a", one, {})
    kept = {path.name for path in Path(place.store).iterdir()}
    with monkeypatch.context() as cutting:
        cutting.setattr(garbage, "sweep_blobs", cut_off)
        with pytest.raises(CutOff):
            garbage.collect(place, "shop", ["1-a"], [one], [], set())
    assert {path.name for path in Path(place.store).iterdir()} == kept
    assert Path(place.app("shop", "releases", "1-a")).is_dir(), "nothing tells of what is left"
    garbage.collect(place, "shop", ["1-a"], [], [], set())
    left = {path.name for path in Path(place.store).iterdir()}
    assert one not in left and two in left
    assert not Path(place.app("shop", "releases", "1-a")).exists()


def test_a_removal_of_an_app_that_was_cut_off_is_seen_and_begun_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(place, "1")
    steps = Steps(place, None, None, blobs.Claims())
    with monkeypatch.context() as cutting:
        cutting.setattr(garbage, "sweep_blobs", cut_off)
        with pytest.raises(CutOff):
            steps.remove_app("shop")
    assert Path(place.app("shop")).is_dir(), "nothing tells of what is left"
    steps.remove_app("shop")
    assert list(Path(place.root).iterdir()) == []
