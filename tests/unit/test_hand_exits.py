"""How supervised processes end is read from supervisord's own log: once, and by whoever goes on."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

import pytest

from steersman.hand import exits

UNIT = "steersman-shop.web.g3@1.service"


class Log:
    """supervisord's log, as its API gives it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.is_there = True

    def say(self, second: int, words: str) -> None:
        self.lines.append(f"2026-11-26 02:40:{second:02},123 {words}")

    def call(self, path: str, method: str, offset: int, length: int) -> str:
        assert (path, method, length) == ("sock", "readLog", 0)
        if not self.is_there:
            raise xmlrpc.client.Fault(20, "NO_FILE")
        return "\n".join([*self.lines, ""])[offset:]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(exits, "call", log.call)
    monkeypatch.setattr(exits, "EVERY", 0.0)
    return log


def told(source: exits.Exits) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in each.get("exit", each).items() if key != "t"}
        for each in source.told()
    ]


def test_ends_are_told_with_how_and_not_what_was_asked_for(log: Log) -> None:
    log.say(1, f"WARN exited: {UNIT} (exit status 9; not expected)")
    source = exits.Exits("sock", None)
    assert told(source) == [], "what was before is no news"
    log.say(2, f"WARN exited: {UNIT} (exit status 3; not expected)")
    log.say(3, "INFO spawned: 'x' with pid 7")
    log.say(4, f"WARN stopped: {UNIT} (terminated by SIGTERM)")
    log.say(5, f"INFO exited: {UNIT} (exit status 0; expected)")
    log.say(6, "WARN exited: other (exit status 3; not expected)")
    log.say(7, f"WARN exited: {UNIT} (terminated by SIGSEGV (core dumped); not expected)")
    assert told(source) == [
        {"unit": UNIT, "count": 1, "code": 3},
        {"unit": UNIT, "count": 2, "code": 0},
        {"unit": UNIT, "count": 3, "signal": "SIGSEGV", "core": True},
    ]
    assert told(source) == []


@pytest.mark.parametrize("is_rotated", [False, True])
def test_who_goes_on_is_told_what_came_meanwhile(log: Log, is_rotated: bool) -> None:
    log.say(1, f"WARN exited: {UNIT} (exit status 1; not expected)")
    first = exits.Exits("sock", None)
    assert told(first) == []
    if is_rotated:
        log.lines.clear()
    log.say(2, f"WARN exited: {UNIT} (exit status 2; not expected)")
    assert [each["code"] for each in told(exits.Exits("sock", first.last))] == [2]


def test_a_log_that_began_after_us_has_all_of_it(log: Log) -> None:
    source = exits.Exits("sock", None)
    assert told(source) == []
    log.say(2, f"WARN exited: {UNIT} (exit status 2; not expected)")
    assert [each["code"] for each in told(source)] == [2]


def test_a_log_that_cannot_be_read_is_said_once(log: Log) -> None:
    log.is_there = False
    source = exits.Exits("sock", None)
    (lack,) = told(source)
    assert "supervisord's log cannot be read" in lack["lack"]
    assert told(source) == []
