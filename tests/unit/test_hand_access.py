"""Access logs followed on a host: what was asked, by route and code, whatever clients ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from steersman.hand import access, nginx
from steersman.hand.access import Access
from unit.test_hand_traffic import line

ROUTES = [["shop.test", "/"], ["shop.test", "/static/"]]

Told = dict[tuple[str, ...], float]


class Followed:
    """A log and who follows it; samples are told at each turn."""

    def __init__(self, log: Path, **settings: Any) -> None:
        self.log = log
        logs = {"shop": {"path": str(log), "routes": ROUTES}}
        self.source = Access({"logs": logs, **settings})

    def write(self, *lines: str) -> None:
        with self.log.open("a") as file:
            file.write("".join(lines))

    def told(self) -> Told:
        """Return what is told: each sample's value by its name and labels without the app's."""
        told: Told = {}
        for message in self.source.take():
            name, value, labels, kind = message["sample"]
            assert labels["app"] == "shop" and message["t"] > 0
            assert (kind == "counter") == name.endswith(("_total", "_sum", "_count"))
            others = [labels[key] for key in ("route", "code", "quantile") if key in labels]
            told[name.removeprefix("steersman_route_"), *others] = value
        return told

    def requests(self) -> dict[tuple[str, ...], float]:
        return {k[1:]: v for k, v in self.told().items() if k[0] == "requests_total"}


@pytest.fixture(autouse=True)
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "TOLD_EVERY", 0.0)


@pytest.fixture
def follow() -> Iterator[Callable[..., Followed]]:
    """Return what makes a log followed, until the test ends."""
    made: list[Followed] = []

    def follow(log: Path, **settings: Any) -> Followed:
        made.append(Followed(log, **settings))
        return made[-1]

    yield follow
    for followed in made:
        followed.source.close()


@pytest.fixture
def followed(tmp_path: Path, follow: Callable[..., Followed]) -> Followed:
    log = tmp_path / "shop.access.log"
    log.write_text(line(1.0, 7, 7, 500))
    return follow(log)


def test_what_comes_is_counted_by_route_and_code(followed: Followed) -> None:
    assert followed.told() == {}
    quick = [line(2.0, 7, 7, took=0.002)] * 98
    followed.write(*quick, line(2.0, 7, 7, 502, took=1.0), line(2.0, 7, 7, 101, took=60.0))
    followed.write(line(2.0, 7, 7, route="shop.test/static/"))
    told = followed.told()
    assert told["requests_total", "shop.test/", "200"] == 98
    assert told["requests_total", "shop.test/", "502"] == 1
    assert told["requests_total", "shop.test/static/", "200"] == 1
    assert told["sent_bytes_total", "shop.test/"] == 100 * 123
    assert told["latency_seconds", "shop.test/", "0.5"] == 0.002
    assert told["latency_seconds", "shop.test/", "0.99"] == pytest.approx(1.0, rel=0.04)
    assert told["latency_seconds_count", "shop.test/"] == 99
    assert told["latency_seconds_sum", "shop.test/"] == pytest.approx(98 * 0.002 + 1.0)
    assert followed.told() == {}
    followed.write(line(3.0, 7, 7, took=0.5))
    told = followed.told()
    assert told["requests_total", "shop.test/", "200"] == 99
    assert told["latency_seconds", "shop.test/", "0.5"] == pytest.approx(0.5, rel=0.04)
    assert ("requests_total", "shop.test/", "502") not in told


def test_the_first_answers_of_a_kind_are_seen_as_growth(followed: Followed) -> None:
    def counted(name: str) -> list[float]:
        told = (message["sample"] for message in followed.source.take())
        return [value for each, value, _, _ in told if each.endswith(name)]

    followed.write(line(2.0, 7, 7, 502) * 2)
    assert counted("requests_total") == [0, 2]
    followed.write(line(2.0, 7, 7, 502), line(2.0, 7, 7, 200))
    assert counted("requests_total") == [0, 1, 3]


def test_labels_are_ours_and_few(followed: Followed) -> None:
    hostile = [line(2.0, 7, 7, 100 + n, route=f"evil{n}.test/") for n in range(900)]
    followed.write(*hostile, line(2.0, "", "-", 400, route="shop.test"))
    told = followed.requests()
    assert {route for route, _ in told} == {"other"}
    assert len(told) == access.CODES + 1 and sum(told.values()) == 901


def test_half_a_line_waits_for_its_other_half(followed: Followed) -> None:
    whole = line(2.0, 7, 7)
    followed.write(whole[:-30])
    assert followed.told() == {}
    followed.write(whole[-30:])
    assert followed.requests() == {("shop.test/", "200"): 1}


def test_a_rotation_loses_nothing(followed: Followed) -> None:
    followed.write(line(2.0, 7, 7))
    followed.log.rename(followed.log.with_suffix(".1"))
    assert followed.requests() == {("shop.test/", "200"): 1}
    old = followed.log.with_suffix(".1").open("a")
    followed.write(line(2.0, 7, 7, 404))
    # nginx's workers write to the old one until they are told.
    followed.source.take()
    old.write(line(2.0, 7, 7, 503))
    old.close()
    found: dict[tuple[str, ...], float] = {}
    for _ in range(4):
        found |= followed.requests()
    assert found == {("shop.test/", "404"): 1, ("shop.test/", "503"): 1}


def test_a_log_that_is_cut_short_is_read_from_its_begin(followed: Followed) -> None:
    followed.log.write_text("")
    assert followed.told() == {}
    followed.write(line(2.0, 7, 7, 201))
    assert followed.requests() == {("shop.test/", "201"): 1}


def test_a_log_that_is_not_there_yet_is_read_once_it_is(
    tmp_path: Path, follow: Callable[..., Followed]
) -> None:
    followed = follow(tmp_path / "new.log")
    assert followed.told() == {}
    followed.write(line(2.0, 1, 1))
    assert followed.requests() == {("shop.test/", "200"): 1}


def test_another_source_goes_on_where_one_was(
    followed: Followed, follow: Callable[..., Followed]
) -> None:
    followed.write(line(2.0, 7, 7), line(2.0, 7, 7)[:20])
    followed.source.take()
    positions = followed.source.positions
    followed.write(line(2.0, 7, 7)[20:], line(2.0, 7, 7))
    again = follow(followed.log, positions=positions)
    assert again.requests() == {("shop.test/", "200"): 2}
    followed.log.unlink()
    followed.write(line(2.0, 7, 7, 204))
    os.utime(followed.log)
    other = follow(followed.log, positions={"shop": (1, 5)})
    assert other.requests() == {("shop.test/", "204"): 1}


def test_a_large_log_is_moved_away_where_nobody_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx, "LOGS", str(tmp_path))
    monkeypatch.setattr(nginx, "LARGE", 1000)
    asked: list[list[str]] = []
    monkeypatch.setattr(nginx, "must", asked.append)
    log, rotate = tmp_path / "a.log", tmp_path / "logrotate"
    monkeypatch.setattr(nginx, "LOGROTATE", str(rotate))
    nginx.keep_small(str(log))
    log.write_bytes(b"x" * 999)
    nginx.keep_small(str(log))
    rotate.touch()
    log.write_bytes(b"x" * 1001)
    nginx.keep_small(str(log))
    assert log.exists() and asked == []
    rotate.unlink()
    nginx.keep_small(str(log))
    assert not log.exists() and (tmp_path / "a.log.1").stat().st_size == 1001
    assert asked == [["nginx", "-s", "reopen"]]
