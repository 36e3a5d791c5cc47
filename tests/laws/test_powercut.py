"""Power cuts and full disks at every call of each thing that the hand writes: old or new, no mix.

What a step acknowledged is there after the power came back; what a mark or link refers to was
safe before it. Each law takes away what was not synced, so a missing fsync is seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builds_lab.packages import make_pack, make_wheel
from laws.powercut import Disk, Tree, at, flat, real, worlds
from steersman.builds import BlobStore, Platform
from steersman.hand import blobs, builds, files, guard, jobrun, phase, venvs
from steersman.hand.fence import Fence
from steersman.hand.place import Place, place_from

Check = Callable[[Tree], bool]


@contextmanager
def watched(top: Path, fail_at: int = 0) -> Iterator[Disk]:
    disk = Disk(top, fail_at)
    try:
        with pytest.MonkeyPatch.context() as patch:
            disk.watch(patch)
            yield disk
    finally:
        disk.close()


def proven(top: Path, work: Callable[[], object], old: Check, new: Check) -> None:
    """Fail unless every cut during `work` leaves `old` or `new`, and one after it `new`."""
    with watched(top) as disk:
        work()
        end = disk.cut()
    assert disk.cuts, "nothing was written"
    for when, tree in worlds(disk):
        assert old(tree) or new(tree), f"{when}: {sorted(flat(tree))}"
    assert new(end.lost), f"it was acknowledged and is lost: {sorted(flat(end.lost))}"
    assert new(end.named), "it was acknowledged and its bytes are lost"


def mended(top: Path, work: Callable[[], object], old: Check, new: Check) -> None:
    """Fail unless a disk that is full at any call leaves `old` or `new`, and room mends it."""
    for fail_at in range(1, 1000):
        with watched(top, fail_at) as disk:
            try:
                work()
            except OSError as error:
                assert error.errno == 28
            is_over = disk.calls < fail_at
        assert old(real(top)) or new(real(top)), f"full at call {fail_at}"
        left = [path for path in flat(real(top)) if "/." in f"/{path}"]
        assert left == [], f"full at call {fail_at}: {left}"
        if is_over:
            assert new(real(top))
            return
    pytest.fail("it never comes to its end")


Prove = Callable[[Path, Callable[[], object], Check, Check], None]
both = pytest.mark.parametrize("prove", [proven, mended])


def holds(path: str, data: Any) -> Check:
    return lambda tree: at(tree, path) == data


@pytest.fixture
def place(tmp_path: Path) -> Place:
    names = ("root", "run", "units", "sites", "tmpfiles")
    paths = {name: str(tmp_path / name) for name in names}
    os.makedirs(tmp_path / "root/store")
    return place_from({**paths, "supervisor": "systemd", "proxy": "none", "scope": "user"})


@both
def test_a_file_is_the_old_one_or_the_new_one(prove: Prove, tmp_path: Path) -> None:
    path = tmp_path / "unit"
    path.write_bytes(b"old")
    data = b"new" * 100

    def write() -> None:
        files.write_file(str(path), data, 0o600)

    prove(tmp_path, write, holds("unit", b"old"), holds("unit", data))


@both
def test_a_file_in_a_new_folder_is_there_with_it(prove: Prove, tmp_path: Path) -> None:
    path = "apps/shop/env/1"

    def write() -> None:
        files.write_file(str(tmp_path / path), b"A=1", 0o600)

    prove(tmp_path, write, holds(path, None), holds(path, b"A=1"))


def test_a_folder_that_was_made_stays(tmp_path: Path) -> None:
    def make() -> None:
        files.make_dir(str(tmp_path / "apps/shop"))

    proven(tmp_path, make, holds("apps/shop", None), holds("apps/shop", {}))


@both
def test_a_link_points_at_the_old_or_the_new(prove: Prove, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("releases/1-a")

    def switch() -> None:
        files.write_link(str(tmp_path / "current"), "releases/2-b")

    old, new = holds("current", "-> releases/1-a"), holds("current", "-> releases/2-b")
    prove(tmp_path, switch, old, new)


def blob(place: Place, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    Path(place.store, digest).write_bytes(data)
    return digest


def test_a_blob_has_its_name_only_when_it_is_whole(place: Place, tmp_path: Path) -> None:
    data = os.urandom(300)
    digest = hashlib.sha256(data).hexdigest()

    def put() -> None:
        for offset in range(0, 300, 100):
            blobs.put(place, digest, 300, offset, data[offset : offset + 100])

    path = f"root/store/{digest}"
    proven(tmp_path, put, holds(path, None), holds(path, data))
    (tmp_path / path).unlink()
    mended(tmp_path, put, holds(path, None), holds(path, data))


def test_small_blobs_have_their_names_only_when_they_are_whole(
    place: Place, tmp_path: Path
) -> None:
    data = [os.urandom(50), os.urandom(60)]
    named = [[hashlib.sha256(each).hexdigest(), len(each)] for each in data]

    def put() -> None:
        blobs.put_all(place, named, b"".join(data))

    for (digest, _), whole in zip(named, data, strict=True):
        path = f"root/store/{digest}"
        proven(tmp_path, put, holds(path, None), holds(path, whole))
        for other, _ in named:
            (tmp_path / "root/store" / str(other)).unlink()
        mended(tmp_path, put, holds(path, None), holds(path, whole))
        for other, _ in named:
            (tmp_path / "root/store" / str(other)).unlink()


@contextmanager
def stocked(place: Place, code: bytes = b"x = 1\n") -> Iterator[str]:
    """Yield the manifest of an app of two files and a wheel, in a store that has all it needs."""
    listed = [["app.py", 0o644, blob(place, code)], ["run", 0o755, blob(place, b"#!")]]
    with tempfile.TemporaryDirectory() as name:
        folder, own = Path(name), BlobStore(Path(name))
        make_wheel(folder, "rope", "1")
        wheel = folder / "rope-1-py3-none-any.whl"
        pack = asyncio.run(make_pack(folder, own, wheel)).blob
        packs = [[wheel.name, blob(place, own.path(pack.sha256).read_bytes()), pack.size, 9]]
    manifest = {"files": listed, "links": [["now", "app.py"]], "packs": packs, "compiled": True}
    yield blob(place, json.dumps(manifest).encode())


def make_build(place: Place, manifest: str) -> None:
    builds.make_build(place, "shop", manifest, manifest, Platform.here().python)


def whole(folder: str, mark: str, as_now: Tree) -> Check:
    """Say whether `folder` has no mark, or all that it has `as_now` as well."""
    parts = flat(at(as_now, folder))

    def check(tree: Tree) -> bool:
        there = at(tree, folder) or {}
        return mark not in there or flat(there).items() >= parts.items()

    return check


@pytest.mark.parametrize("has_venv", [False, True])
def test_a_mark_says_that_all_of_a_build_is_there(
    place: Place, tmp_path: Path, has_venv: bool
) -> None:
    if has_venv:
        with stocked(place, b"x = 0\n") as earlier:
            make_build(place, earlier)
    with stocked(place) as manifest, watched(tmp_path) as disk:
        make_build(place, manifest)
        end = disk.cut()
    now, folder = real(tmp_path), f"root/apps/shop/builds/{manifest}"
    (venv,) = at(now, "root/apps/shop/venvs")
    checks = [
        whole(folder, builds.MARK, now),
        whole(f"root/apps/shop/venvs/{venv}", venvs.MARK, now),
    ]
    assert len(flat(at(now, f"root/apps/shop/venvs/{venv}"))) > 5
    for when, tree in [*worlds(disk), ("the end", end.lost), ("the end", end.named)]:
        assert all(check(tree) for check in checks), when
        # Whoever finds the build's mark needs its venv's as well.
        is_made = at(tree, f"{folder}/{builds.MARK}") is not None
        assert not is_made or at(tree, f"root/apps/shop/venvs/{venv}/{venvs.MARK}"), when
    for tree in (end.lost, end.named):
        assert at(tree, f"{folder}/{builds.MARK}"), "it was acknowledged and is lost"


def test_a_release_is_whole_or_absent(place: Place, tmp_path: Path) -> None:
    with stocked(place) as manifest:
        make_build(place, manifest)
    path = "root/apps/shop/releases/1-abc"

    def make() -> None:
        builds.make_release(place, "shop", "1-abc", manifest, {"number": 1})

    def is_new(tree: Tree) -> bool:
        found = at(tree, path)
        return (
            isinstance(found, dict)
            and found.keys() == {"src", "venv", "release.json"}
            and json.loads(found["release.json"])["number"] == 1
        )

    proven(tmp_path, make, holds(path, None), is_new)


def test_an_epoch_that_was_given_out_is_never_forgotten(place: Place, tmp_path: Path) -> None:
    fence = Fence(place)
    assert fence.claim(5, "ada") == 5
    proven(
        tmp_path,
        lambda: fence.claim(1, "ada"),
        holds("root/epoch", b"5\n"),
        holds("root/epoch", b"6\n"),
    )
    proven(
        tmp_path,
        lambda: fence.check(9, "ada"),
        holds("root/epoch", b"6\n"),
        holds("root/epoch", b"9\n"),
    )


def test_a_release_command_begins_only_behind_its_record(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root/apps/shop/releases/1-abc/src").mkdir(parents=True)
    asked = {"app": "shop", "release": "1-abc", "argv": ["true"], "user": "", "envs": []}
    begun: list[Tree] = []
    with watched(tmp_path) as disk:

        class Unit:
            def __init__(self, *_: object) -> None: ...

            def start(self, *_: object) -> None:
                begun.extend((disk.cut().lost, disk.cut().named))

        monkeypatch.setattr(phase, "Unit", Unit)
        supervisor = SimpleNamespace(seen=dict)
        phase.Transient(place, supervisor, {**asked, "sandbox": [], "timeout": 5}).begin()
    for tree in begun:
        record = at(tree, "root/apps/shop/releases/1-abc/phase.json")
        assert record and json.loads(record)["boot"] == phase.boot_id()
    assert len(begun) == 2


def test_a_guards_record_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path, before = tmp_path / "phase.json", {"boot": "b"}
    after = {**before, "exit": 3}
    guard.write(str(path), before)
    old, new = (holds("phase.json", json.dumps(each).encode()) for each in (before, after))
    proven(tmp_path, lambda: guard.write(str(path), after), old, new)


def test_a_run_of_a_job_begins_only_behind_its_record(tmp_path: Path) -> None:
    home = tmp_path / "apps/shop"
    (home / "releases/1-abc").mkdir(parents=True)
    (home / "releases/1-abc/release.json").write_text('{"number": 1}')
    (home / "current").symlink_to("releases/1-abc")
    for name in ("env", "jobs"):
        (home / name).mkdir()
    (home / "env/1").write_text('MOOD="calm"\n')
    definition: dict[str, Any] = {
        "job": "backup",
        "home": str(home),
        "run": str(tmp_path / "run"),
        "user": "",
    }
    definition |= {"process": "", "argv": ["true"], "retries": 0}
    runs = "apps/shop/jobs/backup.runs"

    def is_known(tree: Tree) -> bool:
        found = at(tree, runs)
        return bool(found) and json.loads(found)[0]["state"] == "running"

    proven(
        tmp_path,
        lambda: jobrun.begin(definition, "once-2", "a"),
        holds(runs, None),
        is_known,
    )
    assert jobrun.begin(definition, "once-2", "b") == jobrun.SKIP, "it ran twice"
