"""The stages of each strategy: which hosts change, when, and what a cut-off walk goes on with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.api.rollout import Rollout
from steersman.planning.rollout import (
    Boot,
    HostView,
    Judge,
    Move,
    Stage,
    Standing,
    Stop,
    Wait,
    stages,
    wave_size,
)


def rollout(**spec: Any) -> Rollout:
    return Rollout.model_validate(spec)


def views(standings: str) -> list[HostView]:
    """Return hosts a, b, c…: `n`ew, `o`ld or `-` for none."""
    meaning: dict[str, Standing] = {"n": "new", "o": "old", "-": "none"}
    return [HostView(chr(97 + at), meaning[letter]) for at, letter in enumerate(standings)]


def walk(spec: Rollout, standings: str, *, has_stops: bool = False) -> tuple[Stage, ...]:
    return stages(spec, views(standings), has_stops=has_stops)


def moves(spec: Rollout, standings: str, *, has_stops: bool = False) -> list[str]:
    found = walk(spec, standings, has_stops=has_stops)
    assert all(isinstance(stage, Move) for stage in found)
    return ["".join(stage.hosts) for stage in found if isinstance(stage, Move)]


@pytest.mark.parametrize(
    ("surge", "unavailable", "total", "size"),
    [
        # Kubernetes: surge rounds up, unavailable down.
        ("25%", "25%", 10, 3 + 2),
        ("25%", "25%", 1, 1),
        (1, 0, 10, 1),
        (0, "10%", 4, 1),
        ("100%", 0, 7, 7),
        (0, 3, 2, 3),
    ],
)
def test_a_wave_is_as_large_as_kubernetes_would_round(
    surge: int | str, unavailable: int | str, total: int, size: int
) -> None:
    spec = rollout(maxSurge=surge, maxUnavailable=unavailable)
    assert wave_size(spec, total, has_stops=False) == size


def test_hosts_that_stop_first_are_bounded_by_unavailability_alone() -> None:
    assert wave_size(rollout(maxSurge=5, maxUnavailable=2), 10, has_stops=True) == 2
    assert wave_size(rollout(maxSurge=5, maxUnavailable=0), 10, has_stops=True) == 1


def test_one_host_proves_a_release_before_the_rest() -> None:
    spec = rollout(maxSurge=2, maxUnavailable=0)
    assert moves(spec, "oooooo") == ["a", "bc", "de", "f"]
    assert moves(spec, "------") == ["a", "bcdef"]
    assert moves(spec, "nnnnnn") == ["abcdef"]


def test_a_rolling_update_goes_on_where_it_broke_off() -> None:
    spec = rollout(maxSurge=1, maxUnavailable=0)
    assert moves(spec, "nnooo") == ["abc", "d", "e"]
    # Those that are there come first, in case they need mending; nobody waits for empty hosts.
    assert moves(spec, "on-o-") == ["ba", "ced"]


def test_a_canary_moves_by_its_steps_and_is_judged_after_each() -> None:
    steps = [{"hosts": 1}, {"pause": {"duration": "1m"}}, {"hosts": "50%"}, {"pause": {}}]
    spec = rollout(strategy="Canary", canary={"steps": steps})
    early, late = Judge(("a",), ("b", "c", "d")), Judge(("a", "b"), ("c", "d"))
    assert walk(spec, "oooo") == (
        Move(("a",)),
        early,
        Wait(1, 60.0, 2, 4, early),
        Move(("b",)),
        late,
        Wait(2, None, 4, 4, late),
        Move(("c", "d")),
    )
    # The hosts that moved keep their place, whatever their names.
    assert walk(spec, "oono")[0] == Move(("c",))


def test_a_percentage_of_hosts_is_at_least_one() -> None:
    spec = rollout(strategy="Canary", canary={"steps": [{"hosts": "1%"}, {"hosts": "26%"}]})
    assert [stage for stage in walk(spec, "oooo") if isinstance(stage, Move)] == [
        Move(("a",)),
        Move(("b",)),
        Move(("c", "d")),
    ]


def test_blue_green_boots_everywhere_before_anything_switches() -> None:
    spec = rollout(strategy="BlueGreen")
    everywhere = ("b", "a", "c")
    assert walk(spec, "ono") == (Boot(everywhere), Move(everywhere))
    asked = rollout(strategy="BlueGreen", blueGreen={"autoPromotion": False})
    assert walk(asked, "ono") == (Boot(everywhere), Wait(1, None, 1, 1), Move(everywhere))


def test_recreate_stops_the_old_everywhere_before_anything_starts() -> None:
    assert walk(rollout(strategy="Recreate"), "oo-n") == (
        Stop(("a", "b")),
        Move(("d", "a", "b", "c")),
    )


STRATEGIES = [
    {"strategy": "RollingUpdate"},
    {"strategy": "RollingUpdate", "maxSurge": 1, "maxUnavailable": 0},
    {"strategy": "Canary", "canary": {"steps": [{"hosts": "20%"}, {"pause": {}}]}},
    {"strategy": "Canary", "canary": {"steps": [{"pause": {}}, {"hosts": 2}, {"hosts": "100%"}]}},
    {"strategy": "BlueGreen"},
    {"strategy": "Recreate"},
]


@given(
    st.sampled_from(STRATEGIES),
    st.text("no-", min_size=1, max_size=25),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_every_host_moves_exactly_once_and_order_does_not_matter(
    spec: dict[str, Any], standings: str, has_stops: bool, random: Any
) -> None:
    hosts = views(standings)
    found = stages(rollout(**spec), hosts, has_stops=has_stops)
    moved = [name for stage in found if isinstance(stage, Move) for name in stage.hosts]
    assert sorted(moved) == sorted(host.name for host in hosts)
    random.shuffle(hosts)
    assert stages(rollout(**spec), hosts, has_stops=has_stops) == found


@given(st.text("no", min_size=2, max_size=25).filter(lambda text: "o" in text))
def test_no_wave_of_a_rolling_update_is_too_large(standings: str) -> None:
    spec = rollout(maxSurge="25%", maxUnavailable="25%")
    old = {host.name for host in views(standings) if host.standing == "old"}
    limit = wave_size(spec, len(standings), has_stops=False)
    first, *rest = stages(spec, views(standings), has_stops=False)
    assert isinstance(first, Move) and len(old & set(first.hosts)) == 1
    assert all(isinstance(stage, Move) and len(stage.hosts) <= limit for stage in rest)
