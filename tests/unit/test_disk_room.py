"""What fits on a disk, and what of an app may go to make room: decisions without a host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from laws.fake_host import FakeHost
from laws.test_planning import plan, run, target
from steersman.api.host import Host
from steersman.api.objects import dump_object, parse_object
from steersman.builds.footprint import footprint, unpacked
from steersman.planning.disk import Need, Room, parse_room, shortage_of
from steersman.planning.garbage import plan_garbage, spare_now
from steersman.planning.seen import BadAnswer

GB = 10**9
ROOM = Room(free=3 * GB, size=10 * GB, inodes=50_000)


@pytest.mark.parametrize(
    ("need", "keep_free", "said"),
    [
        (Need(2 * GB, 10), 1 * GB, None),
        (Need(2 * GB + 1, 10), 1 * GB, "needs 2001M, 3000M of 10000M are free and 1000M stay free"),
        (Need(2 * GB, 10), "10%", None),
        (Need(2 * GB, 10), "11%", "1100M (11%) stay free (spec.disk.keepFree)"),
        (Need(3 * GB, 10), 0, None),
        (Need(1, 49_000), 0, None),
        (Need(1, 49_001), 0, "needs 49001 inodes, 50000 are free and 1000 stay free"),
    ],
)
def test_what_fits_and_what_is_said_if_not(need: Need, keep_free: Any, said: str | None) -> None:
    shortage = shortage_of(need, ROOM, keep_free)
    if said is None:
        assert shortage is None
    else:
        assert shortage is not None and said in shortage


def test_a_disk_that_counts_no_inodes_lacks_none() -> None:
    room = parse_room({"free": 3 * GB, "size": 10 * GB, "inodes": -1})
    assert shortage_of(Need(1, 10**9), room, 0) is None


@pytest.mark.parametrize("answer", [None, {}, {"free": "much", "size": 1, "inodes": 1}])
def test_nonsense_about_a_disk_is_refused(answer: Any) -> None:
    with pytest.raises(BadAnswer):
        parse_room(answer)


def test_only_what_is_past_its_time_and_does_not_run_makes_room() -> None:
    host = FakeHost()
    for number in (1, 2, 3):
        run(host, plan(host, target(number, keep=(1, 2))))
    new = target(4, keep=(2,))
    # Release 3 serves and is not kept: a run that died before it said that it is good.
    spare = spare_now(new, host.seen())
    assert spare.releases == (target(1).release,)
    assert spare.builds_ == ("build1",)
    assert [name.partition(".")[0] for name in spare.envs] == ["1"]
    past = next(plan_garbage(new, host.seen()))
    assert past.releases == (target(1).release, target(3).release)


def test_a_release_that_only_boots_or_only_serves_does_not_go() -> None:
    host = FakeHost()
    run(host, plan(host, target(1)))
    steps = plan(host, target(2))
    switched = next(n for n, step in enumerate(steps) if step.phase == "switch")
    run(host, steps[: switched + 1])
    host.active.clear()
    host.loaded.clear()
    spare = spare_now(target(3), host.seen())
    assert spare.releases == (), "one is what a reboot starts, the other what serves"


def test_a_release_that_still_drains_does_not_go() -> None:
    host = FakeHost()
    run(host, plan(host, target(1)))
    run(host, tuple(step for step in plan(host, target(2)) if step.phase != "retire"))
    assert host.current == f"releases/{target(2).release}"
    assert target(1).release not in spare_now(target(3), host.seen()).releases


@pytest.mark.parametrize(
    ("is_compiled", "blocks", "inodes"),
    # What the pack says, the copy of run of 6000 bytes, a and the top; where the host compiles,
    # b.py to 8000 bytes and, of its cache, three folders.
    [(True, 300 + 2 + 2, 20 + 2 + 2), (False, 304 + 2 + 3, 24 + 1 + 3)],
)
def test_an_estimate_counts_what_is_sent_unpacked_and_compiled(
    tmp_path: Path, is_compiled: bool, blocks: int, inodes: int
) -> None:
    for name, data in (("pack", b"packed"), ("py", b"x = 1\n" * 1000), ("sh", b"#!" * 3000)):
        (tmp_path / name).write_bytes(data)
    listed = {
        "files": [["a/b.py", 0o644, "py"], ["run", 0o755, "sh"]],
        "links": [],
        "packs": [["big-1-py3-none-any.whl", "pack", 4096 * 300, 20]],
        "compiled": is_compiled,
    }
    (tmp_path / "manifest").write_text(json.dumps(listed))
    nothing_new = footprint("manifest", [], tmp_path.joinpath)
    assert nothing_new == Need(128 * 1024 + 4096 * blocks, 64 + inodes)
    all_new = footprint("manifest", ["pack", "py", "sh"], tmp_path.joinpath)
    assert all_new.size == nothing_new.size + 4096 * (1 + 2 + 2)


def test_files_take_whole_blocks_and_folders_too() -> None:
    assert unpacked([("d/big", 1_000_000), ("c.py", 100)]) == Need(4096 * (245 + 1 + 2), 4)


@pytest.mark.parametrize(
    ("written", "means"), [("1G", GB), ("5%", "5%"), (0, 0), (1000, 1000), ("256Mi", 256 << 20)]
)
def test_keep_free_is_a_size_or_a_share(written: Any, means: Any) -> None:
    host = parse_object(made(written))
    assert isinstance(host, Host) and host.spec.disk.keep_free == means
    assert parse_object(dump_object(host)) == host


@pytest.mark.parametrize("written", ["100%", "lots", -1, True, None, "5 %"])
def test_another_keep_free_is_refused(written: Any) -> None:
    with pytest.raises(Exception, match="a percentage of the disk such as 5%"):
        parse_object(made(written))


def made(keep_free: Any) -> dict[str, Any]:
    spec = {"address": "h1.example.com", "disk": {"keepFree": keep_free}}
    return {"kind": "Host", "metadata": {"name": "h1"}, "spec": spec}
