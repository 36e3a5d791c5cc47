"""When an app is where it should be, so that others may give up what they have of it."""

from __future__ import annotations

import pytest

from laws.test_planning import wanted
from steersman.api.errors import SteersmanError
from steersman.control.outcome import HostOutcome, Outcome, Rejected, Stopped

RELEASE = wanted(1).release
FINE = (HostOutcome("h1", "converged"), HostOutcome("h2", "unchanged"))
BAD = HostOutcome("h2", "failed", error=SteersmanError("no disk"))


@pytest.mark.parametrize(
    ("outcome", "is_there"),
    [
        (Outcome("shop", RELEASE, FINE), True),
        (Outcome("shop", RELEASE, (FINE[0], BAD)), False),
        (Outcome("shop", RELEASE, (HostOutcome("h1", "removed"),)), False),
        (Outcome("shop", RELEASE, FINE, halted="paused"), False),
        (Outcome("shop", RELEASE, FINE, waiting=frozenset({"h2"})), False),
        (Outcome("shop", RELEASE, FINE, Stopped(RELEASE, 1, 1)), False),
        # The last good release serves on every host: that is enough to move.
        (Outcome("shop", RELEASE, FINE, Rejected(RELEASE, "bad", "", is_known=True)), True),
    ],
)
def test_nobody_gives_up_an_app_before_it_is_there(outcome: Outcome, is_there: bool) -> None:
    assert outcome.is_there is is_there


def test_two_passes_read_as_one() -> None:
    error = Rejected(RELEASE, "bad", "", is_known=False)
    first = Outcome("shop", RELEASE, FINE, error)
    second = (HostOutcome("h1", "unchanged"), HostOutcome("h2", "converged"))
    both = first.then(Outcome("shop", RELEASE, second))
    assert {host.host: host.verdict for host in both.hosts} == {
        "h1": "converged",
        "h2": "converged",
    }
    assert both.error is error, "the first said what is wrong, and that it is new"
