"""Where apps go: sums, evenness and how little moves, for any hosts and any number of replicas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laws.fake_host import FakeHost
from laws.test_planning import FACTS, HOST, app_of, wanted
from steersman.api.app import App, AppStatus
from steersman.api.host import CORDON, Host
from steersman.api.placement import Placement
from steersman.control.release import counts_of, release_digest
from steersman.control.target import app_target
from steersman.planning.fleet import Fleet, meant
from steersman.planning.placement import (
    gaining,
    held_by,
    place,
    spread,
    while_moving,
)

NAMES = st.sets(st.sampled_from([f"h{n}" for n in range(12)]), min_size=1, max_size=8)
TOTALS = st.integers(0, 30)


def host(name: str, cordon: str | None = None, **labels: str) -> Host:
    annotations = {CORDON: cordon} if cordon is not None else {}
    metadata = {"name": name, "labels": labels, "annotations": annotations}
    return Host.model_validate({"metadata": metadata, "spec": {"address": f"{name}.example.com"}})


def hosts(*names: str, **cordons: str) -> dict[str, Host]:
    return {name: host(name, cordons.get(name)) for name in names}


def spread_app(web: int = 4, **spec: Any) -> App:
    process = {"command": "gunicorn shop.wsgi", "port": "http", "replicas": web}
    return app_of(**({"processes": {"web": process}} | spec))


def running(app: App, shares: Mapping[str, Mapping[str, int]]) -> App:
    """Return the app as it is remembered to run."""
    processes = [
        {"host": name, "process": process, "release": 1, "desired": count, "ready": count}
        for name, share in shares.items()
        for process, count in share.items()
    ]
    status = AppStatus.model_validate({"hosts": sorted(shares), "processes": processes})
    return app.model_copy(update={"status": status})


@given(TOTALS, NAMES)
def test_all_are_placed_and_no_two_hosts_differ_by_more_than_one(
    total: int, names: set[str]
) -> None:
    counts = spread(total, "shop/web", names, {})
    assert sum(counts.values()) == total
    assert counts.keys() == names
    assert max(counts.values()) - min(counts.values()) <= 1


@given(TOTALS, NAMES, st.sampled_from([f"h{n}" for n in range(12)]))
def test_one_host_more_takes_its_share_and_moves_nothing_else(
    total: int, names: set[str], new: str
) -> None:
    before, after = (
        spread(total, "shop/web", names - {new}, {}),
        spread(total, "shop/web", names | {new}, {}),
    )
    moved = sum(count - after[name] for name, count in before.items())
    assert all(after[name] <= count for name, count in before.items()), "a host that stays gained"
    if before:
        assert moved == after[new] <= math.ceil(total / len(after))


@given(TOTALS, NAMES, st.data())
def test_one_host_less_moves_only_its_own(total: int, names: set[str], data: Any) -> None:
    gone = data.draw(st.sampled_from(sorted(names)))
    before, after = (
        spread(total, "shop/web", names, {}),
        spread(total, "shop/web", names - {gone}, {}),
    )
    assert all(count >= before[name] for name, count in after.items()), "a host that stays lost"
    if after:
        assert sum(count - before[name] for name, count in after.items()) == before[gone]


@given(TOTALS, st.permutations([f"h{n}" for n in range(6)]), NAMES)
def test_the_order_in_which_hosts_are_known_changes_nothing(
    total: int, order: list[str], cordoned: set[str]
) -> None:
    def placed(names: list[str]) -> object:
        known = {name: host(name, "cordoned" if name in cordoned else None) for name in names}
        app = running(spread_app(total), {name: {"web": 1} for name in cordoned & set(names)})
        return place(app, known)

    assert placed(order) == placed(sorted(order))


@given(TOTALS, NAMES, st.dictionaries(st.sampled_from(["c1", "c2"]), st.integers(0, 9)))
def test_a_cordoned_host_never_gains(total: int, opened: set[str], held: dict[str, int]) -> None:
    counts = spread(total, "shop/web", opened, held)
    assert sum(counts.values()) == total
    assert all(counts[name] <= most for name, most in held.items())
    free = [counts[name] for name in opened]
    assert max(free) - min(free) <= 1


def test_who_gets_more_differs_between_processes_and_is_settled_for_ever() -> None:
    names = {f"h{n}" for n in range(1, 5)}
    alone = {
        process: [name for name, count in spread(1, process, names, {}).items() if count]
        for process in ("shop/web", "shop/worker")
    }
    # Another order would move the replicas of everybody who upgrades.
    assert alone == {"shop/web": ["h3"], "shop/worker": ["h4"]}


def test_a_host_without_a_replica_holds_nothing_unless_something_runs_on_every_host() -> None:
    known = hosts("h1", "h2", "h3")
    few = place(spread_app(2), known)
    assert len(few.hosts) == 2
    assert all(few.shares[name] == {"web": 1} for name in few.hosts)
    worker = {"command": "celery -A shop worker"}
    web = {"command": "gunicorn shop.wsgi", "port": "http", "replicas": 2}
    mixed = place(spread_app(processes={"web": web, "worker": worker}), known)
    assert mixed.hosts == ("h1", "h2", "h3")
    assert sorted(share["web"] for share in mixed.shares.values()) == [0, 1, 1]
    assert place(spread_app(0), known).hosts == ("h1", "h2", "h3")


def test_cordoned_keeps_what_runs_there_and_drained_does_not() -> None:
    known = hosts("h1", "h2", "h3", h1="cordoned", h2="drained")
    counted = app_of()
    assert place(counted, known).hosts == ("h3",)
    there = running(counted, {"h1": {"web": 2}, "h2": {"web": 2}})
    assert place(there, known).hosts == ("h1", "h3")
    replicas = running(spread_app(6), {name: {"web": 2} for name in ("h1", "h2", "h3")})
    assert place(replicas, known).shares == {"h1": {"web": 2}, "h3": {"web": 4}}
    # What the manifest says counts as much as what `steer host cordon` said.
    spec = known["h3"].spec.model_copy(update={"cordoned": True})
    known["h3"] = known["h3"].model_copy(update={"spec": spec})
    assert place(replicas, known).shares == {"h1": {"web": 2}, "h3": {"web": 2}}


def test_while_replicas_move_nobody_has_less_than_before() -> None:
    known = hosts("h1", "h2")
    app = running(spread_app(4), {"h1": {"web": 4}})
    places = place(app, known)
    assert places.shares == {"h1": {"web": 2}, "h2": {"web": 2}}
    moving = while_moving(places, held_by(app), frozenset())
    assert moving.shares == {"h1": {"web": 4}, "h2": {"web": 2}}
    assert while_moving(places, held_by(app), {"web"}) == places
    assert gaining(app, places) == {"h2"}
    assert gaining(running(app, places.shares), places) == frozenset()


def test_replicas_make_no_release_except_where_scaling_is_a_hand_over() -> None:
    two, three = {"h1": {"web": 2}}, {"h1": {"web": 3}}
    four = release_digest(spread_app(4), "content", {}, two)
    assert release_digest(spread_app(9), "content", {}, three) == four
    port = {"web": {"command": "python server.py", "port": "http", "replicas": 4}}
    by_port = spread_app(processes=port)
    digests = {release_digest(by_port, "content", {}, shares) for shares in (two, three)}
    assert len(digests) == 2


def test_a_host_runs_its_share_and_routes_only_to_what_it_runs() -> None:
    processes = {
        "web": {"command": "gunicorn shop.wsgi", "port": "http", "replicas": 3},
        "worker": {"command": "celery -A shop worker"},
    }
    routes = [
        {"host": "shop.example.com", "process": "web"},
        {"host": "shop.example.com", "path": "/static/", "directory": "static"},
    ]
    app = app_of(processes=processes, routes=routes)
    for share in (0, 2):
        there = replace(wanted(1, app), share={"web": share})
        target = app_target(there, HOST, FACTS, FakeHost().seen())
        instances = {process.name: len(process.instances) for process in target.processes}
        assert instances == ({"worker": 1} | ({"web": 2} if share else {}))
        assert (target.site is None) == (share == 0)
        assert target.server_names == (("shop.example.com",) if share else ())
    template = wanted(1, app).release.spec.template.processes
    assert counts_of(app, template, {"web": 2}) == {"web": 2, "worker": 1}
    assert counts_of(app, template) == {"web": 3, "worker": 1}


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": "role", "operator": "In", "values": ["web", "api"]}, ["h1", "h2"]),
        ({"key": "role", "operator": "NotIn", "values": ["web"]}, ["h2", "h3"]),
        ({"key": "role", "operator": "Exists"}, ["h1", "h2"]),
        ({"key": "role", "operator": "DoesNotExist"}, ["h3"]),
    ],
)
def test_expressions_read_as_in_kubernetes(expression: dict[str, Any], fits: list[str]) -> None:
    known = {
        "h1": host("h1", role="web", zone="a"),
        "h2": host("h2", role="api", zone="a"),
        "h3": host("h3", zone="a"),
    }
    app = app_of(placement={"selector": {"zone": "a"}, "matchExpressions": [expression]})
    assert list(place(app, known).hosts) == fits
    elsewhere = app_of(placement={"selector": {"zone": "b"}, "matchExpressions": [expression]})
    assert place(elsewhere, known).hosts == ()


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"processes": {"web": {"command": "a", "count": 1, "replicas": 2}}}, "both count and"),
        (
            {"placement": {"matchExpressions": [{"key": "role", "operator": "In"}]}},
            "In and no values",
        ),
        (
            {
                "placement": {
                    "matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]
                }
            },
            "In or NotIn in place of Exists",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(spec: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        app_of(**({"routes": []} | spec))


@given(data=st.data())
def test_a_fleet_finds_the_hosts_that_asking_each_would(data: st.DataObject) -> None:
    words = st.sampled_from(["a", "b", "c"])
    labels = st.dictionaries(words, words, max_size=3)
    some = enumerate(data.draw(st.lists(labels, max_size=6)))
    known = {f"h{number}": host(f"h{number}", **each) for number, each in some}
    named = st.none() | st.lists(st.sampled_from(["h0", "h1", "h9"]), unique=True)
    placement = Placement.model_validate({"selector": data.draw(labels), "hosts": data.draw(named)})
    asked = {n for n, h in known.items() if placement.matches(n, h.metadata.labels)}
    assert set(meant(placement, Fleet(known))) == asked == set(meant(placement, known))
