"""What a release leaves on its host for a controller that has lost its memory."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from steersman.hand import builds
from steersman.hand.place import Place, place_from

RECORD = {"app": "shop", "number": 3, "memory": {"app": {"spec": {"env": "inner"}}}}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    names = ("run", "units", "sites", "tmpfiles", "supervisor", "proxy", "scope")
    made = place_from({"root": str(tmp_path), **dict.fromkeys(names, "")})
    mark = Path(made.app("shop", "builds", "b1", builds.MARK))
    mark.parent.mkdir(parents=True)
    mark.write_text("{}")
    return made


def test_the_memory_is_apart_from_what_all_may_read(place: Place) -> None:
    builds.make_release(place, "shop", "3-abc", "b1", RECORD)
    folder = Path(place.app("shop", "releases", "3-abc"))
    memory, record = folder / builds.MEMORY, folder / builds.RECORD
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    assert stat.S_IMODE(record.stat().st_mode) == 0o644
    assert "inner" not in record.read_text()
    assert builds.records(place, "shop") == {"3-abc": {**RECORD, "build": "b1"}}


def test_older_and_broken_ones_do_not_hide_the_others(place: Place) -> None:
    for number in (1, 2, 3):
        builds.make_release(place, "shop", f"{number}-abc", "b1", {"number": number})
    releases = Path(place.app("shop", "releases"))
    (releases / "2-abc" / builds.RECORD).write_text("{")
    os.unlink(releases / "3-abc" / builds.RECORD)
    assert builds.records(place, "shop") == {"1-abc": {"number": 1, "build": "b1"}}
    (releases / "1-abc" / builds.MEMORY).write_text(json.dumps({"app": 1}))
    assert builds.records(place, "shop")["1-abc"]["memory"] == {"app": 1}
    assert builds.records(place, "unknown") == {}
