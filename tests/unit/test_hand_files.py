"""The hand's files: whole or absent, ours or refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from steersman.hand import blobs, builds, files, watch
from steersman.hand.digest import LARGE, sha256_of
from steersman.hand.fence import Fence, stored_epoch
from steersman.hand.place import Place, place_from
from steersman.hand.steps import Steps
from steersman.hand.wire import Refused


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_from(
        {
            "root": str(tmp_path / "srv"),
            "run": str(tmp_path / "run"),
            "units": str(tmp_path / "units"),
            "sites": "",
            "tmpfiles": "",
            "supervisor": "systemd",
            "proxy": "none",
            "scope": "user",
        }
    )


def test_a_written_file_has_its_mode_and_leaves_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    files.write_file(str(path), b"one", 0o600)
    files.write_file(str(path), b"two", 0o640)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(path.parent) == ["file"]


def test_a_link_is_replaced_without_a_moment_of_absence(tmp_path: Path) -> None:
    link = tmp_path / "current"
    files.write_link(str(link), "one")
    stop, seen = tmp_path / "stop", []
    code = "import os,sys\nwhile not os.path.exists(sys.argv[2]):\n    os.readlink(sys.argv[1])\n"
    reader = subprocess.Popen([sys.executable, "-c", code, str(link), str(stop)])
    for turn in range(2000):
        files.write_link(str(link), ("one", "two")[turn % 2])
        seen.append(os.readlink(link))
    stop.touch()
    assert reader.wait(30) == 0
    assert set(seen) == {"one", "two"}


def test_removing_a_tree_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    files.remove(str(tree))
    assert (outside / "precious").exists()
    assert not tree.exists()
    files.remove(str(tree))


def test_digests_notice_a_change_of_the_same_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"aaaa")
    digests = files.Digests()
    first = digests.seen(str(path))
    path.write_bytes(b"bbbb")
    os.utime(path, ns=(1, 1))
    assert digests.seen(str(path)) != first
    assert digests.seen(str(tmp_path / "absent")) is None


@pytest.mark.parametrize("size", [0, 1, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE])
def test_both_ways_to_digest_agree(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    assert sha256_of(str(path)) == hashlib.sha256(path.read_bytes()).hexdigest()


def put(place: Place, data: bytes, chunk: int = 7) -> dict[str, object]:
    sha = hashlib.sha256(data).hexdigest()
    os.makedirs(place.store, exist_ok=True)
    begun = blobs.begin(place, sha, len(data))
    offset = int(str(begun["offset"]))
    reply: dict[str, object] = begun
    while not reply.get("stored") and not reply.get("have"):
        part = data[offset : offset + chunk]
        reply = blobs.put(place, sha, len(data), offset, part)
        offset += len(part)
    return reply


def test_a_blob_is_stored_under_its_digest_and_never_sent_again(place: Place) -> None:
    data = bytes(range(256)) * 3
    assert put(place, data)["stored"] is True
    sha = hashlib.sha256(data).hexdigest()
    assert Path(place.store, sha).read_bytes() == data
    assert put(place, data) == {"have": True, "offset": len(data)}
    assert blobs.missing(place, [sha, "0" * 64]) == ["0" * 64]


def test_an_upload_goes_on_where_it_was_cut(place: Place) -> None:
    data = os.urandom(100)
    sha = hashlib.sha256(data).hexdigest()
    os.makedirs(place.store)
    blobs.put(place, sha, 100, 0, data[:60])
    assert blobs.missing(place, [sha]) == [sha]
    assert blobs.begin(place, sha, 100) == {"have": False, "offset": 60}
    assert put(place, data)["stored"] is True


def test_a_damaged_blob_never_gets_its_name(place: Place) -> None:
    sha = hashlib.sha256(b"good").hexdigest()
    os.makedirs(place.store)
    with pytest.raises(Refused, match="damaged"):
        blobs.put(place, sha, 4, 0, b"evil")
    assert os.listdir(place.store) == []


def test_a_hole_in_an_upload_is_refused(place: Place) -> None:
    sha = hashlib.sha256(b"good").hexdigest()
    os.makedirs(place.store)
    with pytest.raises(Refused, match="hole"):
        blobs.put(place, sha, 4, 2, b"od")


@pytest.mark.parametrize("name", ["../x", "A" * 64, "", "a" * 63])
def test_only_digests_name_blobs(place: Place, name: str) -> None:
    with pytest.raises(Refused, match="SHA-256"):
        blobs.path_of(place, name)


def test_the_fence_refuses_an_older_epoch_and_a_second_holder(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steersman.hand.fence.PATIENCE", 0.0)
    first = Fence(place)
    first.check(5, "steer of ada")
    assert stored_epoch(place) == 5
    with pytest.raises(Refused, match="older than 5") as stale:
        first.check(4, "steer of ada")
    assert stale.value.kind == "stale"
    with pytest.raises(Refused, match="steer of ada") as busy:
        Fence(place).check(6, "steer of bob")
    assert busy.value.kind == "busy"


def test_a_claim_fences_off_whoever_came_before(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steersman.hand.fence.PATIENCE", 0.0)
    ada, bob = Fence(place), Fence(place)
    assert ada.claim(5, "steer of ada") == 5
    assert ada.claim(5, "steer of ada") == 6, "the same wish twice is two claims"
    with pytest.raises(Refused, match="steer of ada is changing this host"):
        bob.claim(9, "steer of bob")
    assert stored_epoch(place) == 6, "a claim that was refused has moved the fence"
    assert ada._fd is not None
    os.close(ada._fd)  # as its process ends
    # Bob's store knows nothing of Ada's epochs; the host does.
    assert bob.claim(1, "steer of bob") == 7


def test_a_host_that_is_let_go_is_free_and_still_fenced(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steersman.hand.fence.PATIENCE", 0.0)
    ada, bob = Fence(place), Fence(place)
    epoch = ada.claim(1, "steer of ada")
    ada.let_go()
    ada.let_go()
    assert bob.claim(1, "steer of bob") == epoch + 1
    with pytest.raises(Refused, match="steer of bob is changing this host"):
        ada.check(epoch, "steer of ada")
    bob.let_go()
    with pytest.raises(Refused, match="older than 2"):
        ada.check(epoch, "steer of ada")


def test_whoever_takes_a_host_removes_what_a_killed_hand_left(place: Place) -> None:
    left = [
        f"{place.root}/.tmp-epoch-7",
        f"{place.units}/.tmp-steersman-shop.target-7",
        f"{place.units}/multi-user.target.wants/.tmp-steersman-shop.target-7",
        f"{place.root}/apps/shop/.tmp-current-7",
        f"{place.root}/apps/shop/env/.tmp-3-7",
        f"{place.root}/apps/shop/releases/2-abc/.tmp-phase.json-7",
        f"{place.run}/shop/.tmp-web.sock-7",
    ]
    kept = [f"{place.units}/.tmp-theirs", f"{place.root}/apps/shop/env/3"]
    for path in map(Path, [*left, *kept]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    (Path(place.root) / "apps/shop/.tmp-serving-7").symlink_to("nowhere")
    Fence(place).claim(1, "steer of ada")
    assert [path for path in [*left, *kept] if os.path.exists(path)] == kept
    assert not os.path.lexists(f"{place.root}/apps/shop/.tmp-serving-7")


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/srv/../etc/passwd", "relative", "/srvx/file", "{units}/other.service"],
)
def test_steps_touch_only_what_is_ours(place: Place, path: str) -> None:
    steps = Steps(place, None, None, blobs.Claims())
    where = path.format(units=place.units)
    with pytest.raises(Refused, match="not a path of steersman's"):
        steps.write_file(where, 0o644, "", "")
    with pytest.raises(Refused, match="not a path of steersman's"):
        steps.write_link(where, "x")
    with pytest.raises(Refused, match="not a path of steersman's"):
        steps.remove_file(where)


def test_no_private_method_is_an_operation(place: Place) -> None:
    for name in ("_allowed", "find", "__init__", "no_such"):
        with pytest.raises(Refused, match="no operation"):
            Steps(place, None, None, blobs.Claims()).find(name)


@pytest.mark.parametrize(
    ("files_", "links"),
    [
        ([["../evil", 0o644, "x"]], []),
        ([["/evil", 0o644, "x"]], []),
        ([], [["link", "../../evil"]]),
        ([], [["../link", "here"]]),
    ],
)
def test_a_tree_never_leaves_its_release(
    place: Place, tmp_path: Path, files_: list[list[object]], links: list[list[str]]
) -> None:
    wanted = {"files": files_, "links": links, "wheels": []}
    with pytest.raises(Refused, match="leaves the release"):
        builds._make_tree(place, str(tmp_path / "src"), wanted)


def test_a_watched_folder_tells_of_each_kind_of_change(tmp_path: Path) -> None:
    folders = watch.Folders()
    (tmp_path / "file").write_text("x")
    folders.watch([str(tmp_path), str(tmp_path / "absent")])
    assert folders.quiet()
    for change in (
        lambda: (tmp_path / "file").write_text("y"),
        lambda: (tmp_path / "file").chmod(0o600),
        lambda: (tmp_path / "file").rename(tmp_path / "other"),
        lambda: files.write_link(str(tmp_path / "link"), "x"),
        lambda: (tmp_path / "other").unlink(),
    ):
        change()
        assert not folders.quiet()
        assert folders.quiet()


def test_a_full_disk_keeps_no_part_of_a_blob(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"cargo" * 100
    sha256 = hashlib.sha256(data).hexdigest()
    blobs.put(place, sha256, len(data), 0, data[:200])
    assert os.listdir(place.store) == [f".part-{sha256}"]

    def full(fd: int, chunk: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(os, "write", full)
        blobs.put(place, sha256, len(data), 200, data[200:])
    assert os.listdir(place.store) == []


def test_small_blobs_come_together(place: Place) -> None:
    data = [b"one", b"", b"three"]
    named = [[hashlib.sha256(each).hexdigest(), len(each)] for each in data]
    assert blobs.put_all(place, named, b"".join(data)) == {"stored": 3}
    assert {Path(place.store, str(name)).read_bytes() for name, _ in named} == set(data)
    assert sorted(os.listdir(place.store)) == sorted(str(name) for name, _ in named)


def test_one_damaged_blob_keeps_the_others_out(place: Place) -> None:
    named = [[hashlib.sha256(each).hexdigest(), 3] for each in (b"one", b"two")]
    with pytest.raises(Refused, match="arrived damaged"):
        blobs.put_all(place, named, b"oneTWO")
    assert blobs.missing(place, [str(name) for name, _ in named]) == [name for name, _ in named]


def test_a_small_tree_is_synced_by_itself_and_a_large_one_with_its_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[str] = []
    synced: list[str] = []
    monkeypatch.setattr(files, "sync_filesystem", whole.append)
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    blob = tmp_path / "blob"
    blob.write_bytes(b"durable already")
    top = tmp_path / "top"
    (top / "deep").mkdir(parents=True)
    os.link(blob, top / "linked")
    (top / "deep/copied").write_bytes(b"new")
    (top / "deep/link").symlink_to("copied")
    files.sync_tree(str(top))
    assert sorted(synced) == sorted(str(top / name) for name in ("", "deep", "deep/copied"))
    for number in range(files.FEW):
        (top / str(number)).mkdir()
    files.sync_tree(str(top))
    assert whole == [str(top)]
