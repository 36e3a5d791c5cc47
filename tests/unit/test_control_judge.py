"""When a canary counts as worse than the release before."""

from __future__ import annotations

import pytest

from steersman.api.rollout import Analysis
from steersman.control.judge import find_fault
from steersman.control.traffic import Tally

USUAL = Tally(1000, 20)  # 2 % errors


@pytest.mark.parametrize(
    ("requests", "errors", "is_fault"),
    [(100, 3, False), (100, 4, True), (19, 19, False), (20, 20, True), (0, 0, False)],
)
def test_errors_count_above_the_old_rate_and_from_enough_answers_on(
    requests: int, errors: int, is_fault: bool
) -> None:
    found = find_fault(Analysis(), {}, {"h1": Tally(requests, errors)}, [USUAL])
    assert (found is not None) == is_fault
    if found is not None:
        assert found.host == "h1" and f"{errors} of the canary's {requests} answers" in found.why


def test_hosts_of_the_old_release_are_judged_together() -> None:
    calm, stormy = Tally(900, 0), Tally(100, 50)
    new = {"h1": Tally(100, 6)}
    assert find_fault(Analysis(), {}, new, [calm, stormy]) is None
    assert find_fault(Analysis(), {}, new, [calm]) is not None


def test_one_restart_is_too_many_unless_allowed() -> None:
    found = find_fault(Analysis(), {"h1": 0, "h2": 1}, {}, [])
    assert found is not None and found.host == "h2" and "restarted 1 times" in found.why
    allowing = Analysis.model_validate({"maxRestarts": 1})
    assert find_fault(allowing, {"h2": 1}, {}, []) is None


def test_the_whole_share_may_be_chosen() -> None:
    lenient = Analysis.model_validate({"maxErrorRate": "0.5%", "minRequests": 1})
    assert find_fault(lenient, {}, {"h1": Tally(1000, 25)}, [USUAL]) is None
    assert find_fault(lenient, {}, {"h1": Tally(1000, 26)}, [USUAL]) is not None
