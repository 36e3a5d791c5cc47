"""How long a generation may take, what is asked of it, and when an old one is empty: by a clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from steersman.hand import health
from steersman.hand.health import FINE, Verdict
from steersman.hand.wire import Refused

UNIT = "steersman-shop.web.g2@1.service"
ROUGH = Verdict("GET / answered 500")
SILENT = Verdict("web.sock: Connection refused", False)


class EndOfLink(Exception):
    """The host is down."""


class Ship:
    """A generation and a clock that only moves while somebody waits."""

    def __init__(self) -> None:
        self.now = self.up_since = 100.0
        self.unit: dict[str, Any] = {"active": "active", "restarts": 0, "result": "success"}
        self.answers: Iterator[Verdict] = iter(())
        self.last = FINE
        self.asked = 0
        self.restarts_at: float | None = None
        self.goes_down_until = 0.0
        self.ends_at: float | None = None

    def pause(self, seconds: float, stop: threading.Event) -> None:
        self.now += seconds
        if self.ends_at is not None and self.now >= self.ends_at:
            raise EndOfLink
        if self.restarts_at is not None and self.now >= self.restarts_at:
            self.unit["restarts"] += 1
            self.up_since, self.restarts_at = self.restarts_at, None

    def probe(self, check: dict[str, Any]) -> Verdict:
        self.asked += 1
        self.last = next(self.answers, self.last)
        return self.last

    def details(self, units: list[str]) -> dict[str, dict[str, Any]]:
        return {UNIT: {**self.unit, "ran": self.now - self.up_since}}

    def is_going_down(self) -> bool:
        return self.now < self.goes_down_until

    def tail(self, units: list[str], count: int) -> list[str]:
        return ["ahoy"]

    def watch(self, good: int = 1) -> health.Watch:
        check = {"socket": "web.sock", "http": "/", "timeout": 1}
        process = {"process": "web", "units": [UNIT], "check": check, "good": good}
        return health.Watch(self, [process])

    def pass_gate(self, settle: float = 1, deadline: float = 60, good: int = 1) -> float:
        """Return how long the gate took."""
        began = self.now
        health.gate(self.watch(good), deadline, settle, 30, threading.Event())
        return self.now - began


@pytest.fixture
def ship(monkeypatch: pytest.MonkeyPatch) -> Ship:
    made = Ship()
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(health, "_pause", made.pause)
    monkeypatch.setattr(health, "probe", made.probe)
    return made


def test_a_generation_settles_before_it_passes(ship: Ship) -> None:
    assert 2 <= ship.pass_gate(settle=2) < 2.2
    assert ship.pass_gate(settle=2) == 0, "it has run for long enough"


def test_good_answers_must_come_in_a_row(ship: Ship) -> None:
    ship.answers = iter([FINE, FINE, ROUGH, FINE, FINE, FINE])
    ship.pass_gate(settle=0, good=3)
    assert ship.asked == 6


def test_an_app_has_until_the_deadline_to_answer_and_no_longer(ship: Ship) -> None:
    ship.answers = iter([SILENT] * 1000 + [FINE])
    assert 50 <= ship.pass_gate(deadline=60) <= 51
    ship.answers = iter([SILENT] * 1200 + [FINE])
    with pytest.raises(Refused, match=r"web: web.sock: Connection refused for 40 s") as refused:
        ship.pass_gate(deadline=40)
    assert refused.value.kind == "unhealthy" and refused.value.detail["logs"] == ["ahoy"]


def test_one_that_answers_badly_is_not_waited_for_till_the_deadline(ship: Ship) -> None:
    ship.answers, began = iter([SILENT] * 100 + [ROUGH] * 10_000), ship.now
    with pytest.raises(Refused, match="answered 500 for 30 s"):
        ship.pass_gate(deadline=600)
    assert 35 <= ship.now - began < 37


def test_one_that_failed_or_exits_again_and_again_is_refused(ship: Ship) -> None:
    ship.unit["active"] = "failed"
    with pytest.raises(Refused, match="failed"):
        ship.pass_gate()
    ship.unit["active"] = "active"
    ship.restarts_at = ship.now + 1
    ship.up_since = ship.now
    assert 4 <= ship.pass_gate(settle=3) < 4.2, "one restart may be a hiccup of the boot"
    watch = ship.watch()
    ship.unit["restarts"] += 2
    with pytest.raises(Refused, match="exits again and again"):
        health.gate(watch, 60, 1, 30, threading.Event())


@pytest.mark.parametrize("wrong", ["a crash", "no answer", "bad answers"])
@pytest.mark.parametrize("where", ["gate", "soak"])
def test_a_host_that_goes_down_says_nothing_of_a_release(
    ship: Ship, wrong: str, where: str
) -> None:
    def judge() -> None:
        if where == "gate":
            health.gate(ship.watch(), 60, 1, 30, threading.Event())
        else:
            health.soak(ship.watch(), 60, 3, threading.Event())

    ship.unit["active"] = "failed" if wrong == "a crash" else "active"
    ship.last = {"a crash": FINE, "no answer": SILENT, "bad answers": ROUGH}[wrong]
    ship.goes_down_until, ship.ends_at = ship.now + 600, ship.now + 300
    with pytest.raises(EndOfLink):
        judge()
    ship.ends_at, ship.goes_down_until = None, ship.now + 100
    with pytest.raises(Refused, match="about to shut down") as refused:
        judge()
    assert refused.value.kind == "going-down"
    with pytest.raises(Refused) as refused:
        judge()
    assert refused.value.kind == "unhealthy"


def test_a_release_proves_itself_for_all_of_its_seconds(ship: Ship) -> None:
    began = ship.now
    health.soak(ship.watch(), 5, 3, threading.Event())
    assert 5 <= ship.now - began < 5.2


def test_a_restart_or_a_bad_streak_ends_a_soak(ship: Ship) -> None:
    ship.restarts_at = ship.now + 1
    with pytest.raises(Refused, match="exits again and again"):
        health.soak(ship.watch(), 5, 3, threading.Event())
    ship.answers = iter([FINE, ROUGH, ROUGH, FINE, ROUGH, ROUGH, ROUGH, FINE])
    with pytest.raises(Refused, match="answered 500"):
        health.soak(ship.watch(), 5, 3, threading.Event())
    assert ship.last is ROUGH
    ship.answers = iter([ROUGH, ROUGH, FINE])
    health.soak(ship.watch(), 1, 3, threading.Event())


def test_an_old_generation_is_empty_when_it_stays_so(
    ship: Ship, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([2, 1, 0, 1, 0, 0, 0, 5])
    monkeypatch.setattr(health, "open_at", lambda paths: {"web.sock": next(counts)})
    assert health.drain(["web.sock"], 60, threading.Event()) == 0
    assert next(counts) == 5, "it was not looked at until it stayed empty"


def test_a_connection_that_never_ends_is_cut_at_the_deadline(
    ship: Ship, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "open_at", lambda paths: {"web.sock": 3})
    began = ship.now
    assert health.drain(["web.sock"], 20, threading.Event()) == 3
    assert 20 <= ship.now - began < 20.2
