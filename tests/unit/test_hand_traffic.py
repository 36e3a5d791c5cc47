"""How answers are told apart by generation, around a switch that the links tell."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from steersman.hand import accesslog, traffic
from steersman.hand.accesslog import Answer
from steersman.hand.traffic import generation_of, measured

ROUTES = [["shop.test", "/"]]


COMBINED = '::1 - - [25/Nov/2026:23:03:33 +0000] "GET / HTTP/1.1" 200 2 "-" "-"'


def line(
    end: float, first: object, last: object, status: int = 200, took: float = 0.004, **changes: Any
) -> str:
    fields: list[object] = [
        f"{end:.3f}",
        f"{took:.3f}",
        f"{changes.get('answering', took):.3f}",
        "0.000",
    ]
    fields += [status, status, 123, changes.get("completion", "OK"), first, last]
    return (
        f"{COMBINED} steersman|{'|'.join(map(str, fields))}|{changes.get('route', 'shop.test/')}\n"
    )


@dataclass
class Shop:
    """An app's folder of links and its log; `switched` is when its links came to lead to `now`."""

    folder: Path
    switched: float = 0.0
    lines: list[str] = field(default_factory=list)

    def switch(self, number: int) -> None:
        """Make the links lead to `number`, in next to no time."""
        self.folder.mkdir(exist_ok=True)
        began = -1.0
        while self.switched - began > 0.1:
            began = self.link("serving", f"/x/releases/{number}-ab")
            self.switched = self.link("web.sock", f"web-g{number}.sock")

    def link(self, name: str, target: str) -> float:
        """Rename a link into place, and return when that was."""
        (self.folder / "new").symlink_to(target)
        (self.folder / "new").rename(self.folder / name)
        return os.lstat(self.folder / name).st_ctime_ns / 1e9

    def ask(self, **changes: Any) -> dict[str, Any]:
        log = self.folder / "access.log"
        log.write_text("".join(self.lines))
        asked = {"before": 60.0, "routes": ROUTES, **changes}
        return measured(str(log), str(self.folder), **asked)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path / "shop")
    made.switch(8)
    return made


def requests(told: dict[str, Any]) -> list[tuple[int, int]]:
    return [(told[side]["requests"], told[side]["errors"]) for side in ("old", "current", "unsure")]


def test_what_found_one_generation_all_along_was_answered_by_it(shop: Shop) -> None:
    at = shop.switched
    # The second ended long after the switch, but was the old one's: nginx saw the link late.
    shop.lines = [line(at - 5, 7, 7), line(at + 0.001, 7, 7, 500), line(at + 0.001, 8, 8, 500)]
    told = shop.ask()
    assert told["generation"] == 8
    assert requests(told) == [(2, 1), (1, 1), (0, 0)]
    assert told["current"]["latency"] == [[4.0, 1]]


def test_a_request_under_way_at_the_switch_is_the_old_ones_if_it_surely_was(shop: Shop) -> None:
    at = shop.switched
    shop.lines = [
        line(at + 1, 7, 8, took=1.5),  # passed on half a second before the switch
        line(at + 1, 7, 8, took=1.005),  # a moment before: nginx's clock may be late
        line(at + 1, 7, 8, 502, took=1.5, answering=0.5),  # its body came first
    ]
    assert requests(shop.ask()) == [(1, 0), (0, 0), (2, 1)]


def test_without_a_link_the_times_decide(shop: Shop) -> None:
    at = shop.switched
    shop.lines = [line(at - 3, "-", "-", 502), line(at, "-", "-", 502), line(at + 3, "-", "-", 502)]
    assert requests(shop.ask()) == [(1, 1), (1, 1), (1, 1)]


def test_an_older_generation_than_the_last_is_not_compared_with(shop: Shop) -> None:
    at = shop.switched
    shop.lines = [line(at - 9, 6, 6, 500), line(at - 3, 7, 7), line(at + 3, 8, 8)]
    assert requests(shop.ask()) == [(1, 0), (1, 0), (0, 0)]


def test_a_generation_that_came_back_is_measured_since_it_did(shop: Shop) -> None:
    at = shop.switched
    shop.lines = [line(at - 9, 8, 8, 500), line(at - 3, 9, 9, 500), line(at - 1, 9, 9)]
    shop.lines += [line(at + 1, 8, 8)]
    assert requests(shop.ask()) == [(2, 1), (1, 0), (0, 0)]


def test_what_was_long_before_does_not_count(shop: Shop) -> None:
    at = shop.switched
    shop.lines = [line(at - 100, 7, 7), line(at - 70, 7, 7), line(at - 50, 7, 7), line(at, 8, 8)]
    assert requests(shop.ask()) == [(1, 0), (1, 0), (0, 0)]
    assert requests(shop.ask(before=80.0)) == [(2, 0), (1, 0), (0, 0)]
    assert requests(shop.ask(seconds=10.0)) == [(0, 0), (1, 0), (0, 0)]


def test_what_was_for_nobody_is_not_counted(shop: Shop) -> None:
    shop.lines = [line(shop.switched, "", "-", 400, route="shop.test"), "rubbish\n", "{}\n"]
    assert requests(shop.ask()) == [(0, 0)] * 3


def test_clients_that_left_early_are_no_failures(shop: Shop) -> None:
    at = shop.switched
    shop.lines = [line(at, 8, 8, 499, completion=""), line(at, 8, 8, completion=""), line(at, 8, 8)]
    told = shop.ask()
    assert requests(told)[1] == (3, 0) and told["current"]["cut"] == 2


def test_a_websocket_has_no_latency(shop: Shop) -> None:
    shop.lines = [line(shop.switched + 30, 8, 8, 101, took=30.0)]
    assert shop.ask()["current"]["latency"] == []


def test_caddys_answers_are_told_apart_by_their_times(shop: Shop) -> None:
    def of_caddy(end: float, took: float) -> str:
        request = {"host": "shop.test", "uri": "/"}
        told = {"ts": end, "duration": took, "status": 200, "size": 1, "request": request}
        return json.dumps(told) + "\n"

    at = shop.switched
    shop.lines = [of_caddy(at - 1, 0.1), of_caddy(at + 0.5, 1.0), of_caddy(at + 1, 0.1)]
    assert requests(shop.ask()) == [(1, 0), (1, 0), (1, 0)]


def test_a_link_that_another_release_left_says_nothing_of_the_switch(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = {
        "serving": ("/x/releases/9-ab", 1000.0),
        "web.sock": ("inst/web-g9.sock", 1000.1),
        "api.sock": ("api-g7.sock", 10.0),
        "other": ("elsewhere", 2000.0),
    }
    monkeypatch.setattr(traffic, "_links", lambda run: links)
    shop.lines = [line(900, 7, 7), line(999, "-", "-"), line(1000.05, "-", "-"), line(1001, 9, 9)]
    told = shop.ask()
    assert told["generation"] == 9
    assert requests(told) == [(1, 0), (1, 0), (1, 0)]


def test_only_both_bounds_make_it_sure() -> None:
    answer = Answer(10.0, 2.0, 1.0, 200)  # came at 8, was passed on no later than at 9
    assert generation_of(answer, 8, 9.1, 9.1) == -1
    assert generation_of(answer, 8, 9.01, 9.01) is None
    assert generation_of(answer, 8, 7.0, 7.9) == 8
    assert generation_of(answer, 8, 7.0, 8.0) is None


def test_no_log_and_no_links_are_no_traffic(tmp_path: Path) -> None:
    told = measured(str(tmp_path / "none"), str(tmp_path / "no"), 60.0, [])
    assert requests(told) == [(0, 0)] * 3
    assert (told["generation"], told["is_all"]) == (0, True)


def test_a_long_log_is_read_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesslog, "BLOCK", 64)
    log = tmp_path / "a.log"
    log.write_text("".join(line(100.0 + n, 8, 8) for n in range(50)))
    ends = [each.end for each in accesslog.backwards(str(log), 120.0, [], 1 << 20) if each]
    assert ends == []  # no line is as long as a block
    monkeypatch.setattr(accesslog, "BLOCK", 300)
    ends = [each.end for each in accesslog.backwards(str(log), 120.0, [], 1 << 20) if each]
    assert ends == [100.0 + n for n in range(49, 19, -1)]
    some = list(accesslog.backwards(str(log), 0.0, [], 1000))
    assert some[-1] is None and 3 < len(some) < 10
