"""Batches: the first of them leave at once, and without end they leave in their time."""

from __future__ import annotations

import pytest

from steersman.telemetry.pace import HASTY, Pace


def test_the_first_leave_at_once_and_others_in_their_time() -> None:
    pace, held = Pace(0.5), []
    for _ in range(HASTY + 2):
        held.append(max(pace.held(100.0), 0.0))
        pace.left(100.0 + held[-1])
    assert held == pytest.approx([0.0] * HASTY + [0.5, 1.0])


def test_a_quiet_while_earns_what_was_spent_and_no_more() -> None:
    pace = Pace(0.5)
    for _ in range(HASTY):
        pace.left(100.0)
    assert pace.held(100.4) == pytest.approx(0.1)
    assert pace.held(100.5) <= 0
    for _ in range(HASTY):
        assert pace.held(1000.0) <= 0
        pace.left(1000.0)
    assert pace.held(1000.0) == pytest.approx(0.5)


def test_a_flood_of_whole_batches_holds_nobody_back_for_longer_than_one() -> None:
    pace = Pace(0.5)
    for _ in range(100):
        pace.left(100.0)
    assert pace.held(100.0) == pytest.approx(0.5)


def test_without_a_wait_nothing_is_held() -> None:
    pace = Pace(0.0)
    for _ in range(100):
        assert pace.held(5.0) <= 0
        pace.left(5.0)
