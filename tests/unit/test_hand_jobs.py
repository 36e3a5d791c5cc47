"""What a look at a host tells of the runs of its jobs."""

import json
from pathlib import Path
from typing import Any

import pytest

from steersman.hand import jobs
from steersman.hand.files import Digests
from steersman.hand.place import Place, place_from

UNIT = "steersman-shop_backup@run.service"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "apps/shop/jobs").mkdir(parents=True)
    names = ("run", "units", "sites", "tmpfiles", "supervisor", "proxy", "scope")
    return place_from({"root": str(tmp_path), **dict.fromkeys(names, "")})


def record(place: Place, *states: str) -> None:
    runs = [
        {"id": str(n), "instance": "run", "state": state, "result": ""}
        for n, state in enumerate(states)
    ]
    Path(place.app("shop", "jobs", "backup.runs")).write_text(json.dumps(runs))


def look(place: Place) -> dict[str, Any]:
    return jobs.seen(place, "shop", Digests())


def states(found: dict[str, Any]) -> list[str]:
    return [run["state"] for run in found["runs"]["backup"]]


def test_files_and_records_are_told_apart(place: Place) -> None:
    record(place, "succeeded")
    Path(place.app("shop", "jobs", "backup.json")).write_text("{}")
    Path(place.app("shop", "jobs", "backup.runs.tmp")).write_text("")
    found = look(place)
    assert list(found["files"]) == ["backup.json"] and states(found) == ["succeeded"]


@pytest.mark.parametrize("state", ["running", "retrying"])
@pytest.mark.parametrize(
    ("unit", "is_lost"),
    [("activating", False), ("deactivating", False), ("inactive", True), ("failed", True)],
)
def test_a_run_without_its_unit_was_lost(
    place: Place, state: str, unit: str, is_lost: bool
) -> None:
    record(place, "failed", state)
    found = look(place)
    jobs.judge(place, "shop", found, {UNIT: [unit, ""]})
    assert states(found) == ["failed", "lost" if is_lost else state]


def test_a_run_that_ended_since_its_record_was_read_was_not_lost(place: Place) -> None:
    record(place, "running")
    found = look(place)
    record(place, "succeeded", "running")
    jobs.judge(place, "shop", found, {})
    assert states(found) == ["succeeded", "running"], "the second began after the units were seen"


def test_only_units_of_ours_are_started(place: Place) -> None:
    for unit in ("nginx.service", "steersman-../x.service"):
        with pytest.raises(Exception, match="not a unit of steersman"):
            jobs.start(unit, replace=False)
        with pytest.raises(Exception, match="not a unit of steersman"):
            jobs.forget(place, "shop", "backup", unit)
