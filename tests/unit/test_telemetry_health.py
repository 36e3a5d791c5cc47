"""The controller's own figures: reconciles, errors, queue, links, rollouts, what it healed."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from beside import beside
from steersman.api.errors import SteersmanError
from steersman.api.signals import Happening, Origin, Sample, Signal, Span
from steersman.control.keeper import Keeper
from steersman.telemetry.health import EVERY, Health
from steersman.telemetry.hub import Hub

NOON = 1_764_072_000.0


class Idle:
    """A worker that has done what the test says."""

    def __init__(self) -> None:
        self.reconciles: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.waiting: tuple[str, ...] = ()


def health(worker: Idle | Keeper, hub: Hub | None = None, **round_trips: float) -> Health:
    return Health(hub or Hub(), worker, lambda: round_trips, lambda: NOON)


def told(health: Health) -> dict[tuple[str, ...], list[float]]:
    """Return the values of each series, in their order."""
    found: dict[tuple[str, ...], list[float]] = {}
    for sample in health.samples():
        key = (sample.name.removeprefix("steersman_"), *sample.labels.values())
        found.setdefault(key, []).append(sample.value)
    return found


@pytest.mark.looptime
async def test_reconciles_and_errors_of_a_real_keeper_are_counted() -> None:
    async def fails(name: str, asked: bool) -> None:
        raise SteersmanError("no")

    async def works(name: str, asked: bool) -> None: ...

    keeper = Keeper({"App": works, "Drift": fails})
    keeper.wake("App/shop")
    keeper.wake("Drift/shop@h1")
    keeper.wake("App/desk")
    ear = health(keeper)
    waiting = told(ear)
    assert waiting["controller_queue_depth",] == [3]
    assert (waiting["queue_depth", "shop"], waiting["queue_depth", "desk"]) == ([2], [1])
    async with beside(keeper.run()):
        await asyncio.sleep(0.5)
    found = told(ear)
    assert found["controller_reconciles_total", "App"] == [0, 2]
    assert found["controller_errors_total", "Drift"] == [0, 1]
    assert found["controller_errors_total", "App"] == [0]
    assert found["queue_depth", "shop"] == [0], "a queue that became empty is told once"
    again = told(ear)
    assert again == {("controller_queue_depth",): [0]}, "what did not grow is not told again"


def test_links_are_told_by_host() -> None:
    assert told(health(Idle(), h1=0.004, h2=0.02)) == {
        ("controller_queue_depth",): [0],
        ("link_round_trip_seconds", "h1"): [0.004],
        ("link_round_trip_seconds", "h2"): [0.02],
    }


def test_a_counter_was_nothing_before_it_grew() -> None:
    worker = Idle()
    worker.reconciles["App"] = 7
    zero, seven = (each for each in health(worker).samples() if "reconciles" in each.name)
    assert (zero.value, zero.time) == (0, NOON - EVERY)
    assert (seven.value, seven.time, seven.kind) == (7, NOON, "counter")


@pytest.mark.parametrize(("is_ok", "result"), [(True, "deployed"), (False, "failed")])
def test_a_rollout_is_timed_and_counted_and_what_is_healed_is_too(is_ok: bool, result: str) -> None:
    hub, heard = Hub(), list[Signal]()
    ear = health(Idle(), hub)
    origin = Origin(app="shop", host="h1")
    spans = [
        Span(trace="t", id=f"s{at}", parent=parent, name=name, start=5.0, end=8.5, is_ok=is_ok,
             origin=origin)
        for at, (name, parent) in enumerate(
            [("rollout shop 3", ""), ("h1 converged", "s0"), ("heal shop", "")]
        )
    ]  # fmt: skip
    healed = Happening(time=9.0, origin=origin, about="App/shop", reason="Healed", message="")
    signals: tuple[Signal, ...] = (*spans, healed)
    with hub.joined(ear.hear), hub.joined(heard.append):
        for signal in signals:
            hub.publish(signal)
    (took,) = [each for each in heard if isinstance(each, Sample)]
    assert (took.name, took.value, took.labels) == (
        "steersman_rollout_seconds", 3.5, {"app": "shop"},
    )  # fmt: skip
    found = told(ear)
    assert found["rollouts_total", "shop", result] == [0, 1]
    assert found["drift_healed_total", "shop", "h1"] == [0, 1]
