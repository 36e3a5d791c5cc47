"""The logs of supervised processes: whole lines, across the rename of a full file."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, cast

from steersman.hand import logfiles
from steersman.hand.place import Place, place_from


def place_in(folder: Path) -> Place:
    names = ("units", "sites", "tmpfiles", "supervisor", "proxy", "scope")
    return place_from({"root": str(folder), "run": "", **dict.fromkeys(names, "")})


def log_of(folder: Path, unit: str, text: str) -> Path:
    path = Path(logfiles.path_of(place_in(folder), unit))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_line_is_told_once_it_is_whole(tmp_path: Path) -> None:
    path = log_of(tmp_path, "steersman-shop.web.g1@1.service", "one\ntw")
    reader = logfiles.Reader(str(path), None)
    assert reader.read() == ["one"]
    with path.open("a") as log:
        log.write("o\nthree\n")
    assert reader.read() == ["two", "three"]


def test_nothing_is_told_twice_when_the_file_begins_anew(tmp_path: Path) -> None:
    path = log_of(tmp_path, "steersman-shop.web.g1@1.service", "old\n")
    reader = logfiles.Reader(str(path), None)
    assert reader.read() == ["old"]
    path.rename(f"{path}.1")
    path.write_text("new\n")
    assert reader.read() == ["new"]


def test_bytes_that_are_no_text_stay_visible(tmp_path: Path) -> None:
    path = log_of(tmp_path, "steersman-shop.web.g1@1.service", "")
    path.write_bytes(b"caf\xe9\n")
    assert logfiles.Reader(str(path), None).read() == ["caf\\xe9"]


def test_the_last_lines_are_those_of_whom_wrote_last(tmp_path: Path) -> None:
    first, second = "steersman-shop.web.g1@1.service", "steersman-shop.web.g1@2.service"
    os.utime(log_of(tmp_path, first, "a\nb\n"), (200, 200))
    os.utime(log_of(tmp_path, second, "c\nd\n"), (100, 100))
    assert logfiles.tail(place_in(tmp_path), [first, second], 3) == ["d", "a", "b"]


def test_only_what_fits_and_is_young_enough_is_told(tmp_path: Path) -> None:
    os.utime(log_of(tmp_path, "steersman-shop.web.g1@1.service", "old\n"), (100, 100))
    os.utime(log_of(tmp_path, "steersman-shop.web.g2@1.service", "young\n"), (300, 300))
    os.utime(log_of(tmp_path, "steersman-shop.worker.g2@1.service", "other\n"), (300, 300))
    told = logfiles.follow(
        place_in(tmp_path), "steersman-shop.web.g*", 200, 10, False, threading.Event()
    )
    (entry,) = told
    unit = "steersman-shop.web.g2@1.service"
    assert (entry["t"], entry["unit"], entry["line"]) == (300.0, unit, "young")


def test_who_goes_on_behind_a_line_is_told_the_next_one_across_a_rename(tmp_path: Path) -> None:
    unit, other = "steersman-shop.web.g1@1.service", "steersman-shop.web.g2@1.service"
    path = log_of(tmp_path, unit, "one\ntwo\nthree\n")
    here, stop = place_in(tmp_path), threading.Event()
    told = list(logfiles.follow(here, "steersman-shop.web.g*", 0, -1, False, stop))
    assert [entry["line"] for entry in told] == ["one", "two", "three"]
    path.rename(f"{path}.1")
    path.write_text("four\n")
    log_of(tmp_path, other, "of a new one\n")
    for count, left in ((1, ["two", "three", "four"]), (3, ["four"])):
        after: dict[str, Any] = {}
        for entry in told[:count]:
            after |= cast(dict[str, Any], entry["at"])
        readers = logfiles.resumed(here, after)
        going = logfiles.go_on(here, "steersman-shop.web.g*", readers, stop)
        lines = [str(next(going)["line"]) for _ in range(len(left) + 1)]
        assert sorted(lines) == sorted([*left, "of a new one"])


def test_logs_of_units_that_are_gone_are_kept_for_a_while(tmp_path: Path) -> None:
    units = [f"steersman-shop.web.g{n}@1.service" for n in range(1, 31)]
    for number, unit in enumerate(units):
        os.utime(log_of(tmp_path, unit, "said\n"), (number, number))
    logfiles.trim(place_in(tmp_path), {units[0]})
    left = logfiles.matching(place_in(tmp_path), "*")
    assert list(left) == [units[0], *units[-logfiles.KEPT :]]
