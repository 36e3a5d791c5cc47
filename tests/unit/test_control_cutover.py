"""What a switch meant for requests, added up over hosts and said in a sentence."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from laws.test_planning import app_of, wanted
from steersman.api.host import HostSpec
from steersman.api.release import CutOver
from steersman.cli.history import release_text
from steersman.control.cutover import cut_over_of, cut_over_text, failed_text, measure
from steersman.control.traffic import Tally, Traffic, access_settings
from steersman.transport.frames import Reply


def tally(requests: int, errors: int = 0, cut: int = 0, ms: float = 20.0) -> Tally:
    latency = Counter({ms: requests}) if requests else Counter[float]()
    return Tally(requests, errors, cut, latency)


NONE = Tally()
CALM = Traffic(8, 9.0, tally(500, ms=24), tally(700, ms=20), tally(1))


@pytest.mark.parametrize(
    ("traffic", "text"),
    [
        (
            Traffic(8, 9.0, tally(600, 1, ms=23), tally(640, 1)),
            "2 of 1,240 requests failed, p99 +3 ms, errors old 0.2 % new 0.2 %",
        ),
        (
            Traffic(8, 9.0, tally(600, ms=18), tally(640), tally(3, 2)),
            "2 of 1,243 requests failed, p99 -2 ms, errors old 0.0 % new 0.0 %"
            "; 3 were under way as it switched",
        ),
        (
            Traffic(8, 9.0, tally(5, 1, cut=2), tally(640)),
            "1 of 645 requests failed, errors old 0.0 % new 20.0 %; the clients of 2 left early",
        ),
        (Traffic(8, 9.0, tally(5)), "0 of 5 requests failed, errors old none new 0.0 %"),
        (Traffic(8, 9.0), "no requests, so nothing was measured"),
    ],
)
def test_a_cut_over_is_a_sentence(traffic: Traffic, text: str) -> None:
    found = cut_over_of({"h1": traffic})
    assert cut_over_text(found) == text == cut_over_text(found.hosts[0])


def test_hosts_are_added_up_and_their_latencies_too() -> None:
    slow = Traffic(8, 9.0, tally(10, 10, ms=900), NONE)
    found = cut_over_of({"h2": slow, "h1": CALM}, ["h3"])
    assert [(host.host, host.new.requests) for host in found.hosts] == [("h1", 500), ("h2", 10)]
    assert (found.new.requests, found.new.errors, found.new.p99) == (510, 10, 0.9)
    assert found.old.p99 == 0.02
    text = "10 of 1,211 requests failed, p99 +880 ms, errors old 0.0 % new 2.0 %"
    assert cut_over_text(found) == f"{text}; 1 were under way as it switched; not measured: h3"


def test_a_release_shows_each_host() -> None:
    slow = Traffic(8, 9.0, tally(10, 10), NONE)
    found = cut_over_of({"h2": slow, "h1": CALM})
    release = wanted(8).release
    status = release.status.model_copy(update={"cut_over": found})
    lines = release_text(release.model_copy(update={"status": status})).splitlines()
    at = lines.index("Cut-over:")
    assert lines[at + 1].startswith("  10 of 1,211 requests failed")
    assert lines[at + 3] == "  h2: 10 of 10 requests failed, errors old none new 100.0 %"


def test_a_table_says_how_many_failed() -> None:
    assert failed_text(None) == "<none>"
    assert failed_text(CutOver()) == "no requests"
    assert failed_text(cut_over_of({"h1": CALM})) == "0 of 1,201"


def test_logs_are_followed_where_requests_are_routed() -> None:
    spec = HostSpec.model_validate({"address": "h1.example.com"})
    shop, mute = app_of(), app_of(routes=[])
    path = "/var/log/nginx/steersman-shop.access.log"
    routes = [[route.host, route.path] for route in shop.spec.routes]
    assert access_settings(spec, [mute]) == {"logs": {}}
    assert access_settings(spec, [shop]) == {"logs": {"shop": {"path": path, "routes": routes}}}
    bare = HostSpec.model_validate({"address": "h1.example.com", "proxy": "none"})
    assert access_settings(bare, [shop]) == {"logs": {}}


SIDE: dict[str, Any] = {"requests": 3, "errors": 1, "cut": 0, "latency": [[4.0, 3]]}
SAID = {"generation": 8, "age": 1.5, "current": SIDE, "old": SIDE, "unsure": SIDE}


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": "8"},
        {"age": float("nan")},
        {"age": -1},
        {"old": None},
        {"old": {**SIDE, "errors": -1}},
        {"old": {**SIDE, "requests": 1 << 70}},
        {"old": {**SIDE, "latency": [[float("inf"), 3]]}},
        {"old": {**SIDE, "latency": [[1.0]]}},
        {"old": {**SIDE, "latency": 5}},
    ],
)
async def test_a_host_that_says_nonsense_stops_nothing(changes: dict[str, Any]) -> None:
    def link(name: str, said: dict[str, Any]) -> Any:
        async def call(*_: object, **asked: object) -> Reply:
            return Reply(said, b"")

        spec = HostSpec.model_validate({"address": f"{name}.example.com"})
        return SimpleNamespace(
            name=name, host=SimpleNamespace(spec=spec), link=SimpleNamespace(call=call)
        )

    found = await measure(app_of(), 8, [link("h1", SAID), link("h2", {**SAID, **changes})])
    assert found is not None and found.unmeasured == ("h2",)
    assert [(host.host, host.new.requests) for host in found.hosts] == [("h1", 3)]


def test_a_quantile_is_not_below_its_share() -> None:
    latency = Counter({1.0: 98, 50.0: 1, 900.0: 1})
    found = Tally(100, 0, 0, latency)
    assert [found.quantile(share) for share in (0.5, 0.98, 0.99, 1.0)] == [0.001, 0.001, 0.05, 0.9]
    assert NONE.quantile(0.99) is None
