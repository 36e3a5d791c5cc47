"""What a rollout over several hosts promises, step by step, on four hosts in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from laws.fake_host import FakeHost
from laws.fleet import Fleet, Killed, controller
from laws.test_planning import app_of, plan, run, target
from steersman.api.errors import SteersmanError
from steersman.control.outcome import Outcome, Rejected
from steersman.planning import steps as s
from steersman.store.sqlite import SqliteStore

NAMES = ("h1", "h2", "h3", "h4")
STEPS = [{"hosts": 1}, {"pause": {}}, {"hosts": "50%"}, {"pause": {}}]
ANSWERED = {"current": {"requests": 30, "errors": 3}, "old": {"requests": 50, "errors": 1}}
CANARY: dict[str, Any] = {"strategy": "Canary", "canary": {"steps": STEPS}}
Kind = TypeVar("Kind", bound=s.Step)


class Port:
    """Four hosts, one app, and as many controllers as it takes, each with what others remember."""

    def __init__(self, store: SqliteStore) -> None:
        self.fleet = Fleet({name: FakeHost() for name in NAMES})
        self._store = store
        self._version = 0

    async def apply(self, code: str = "good", **rollout: Any) -> Outcome:
        """Let a new controller apply new code."""
        self._version += 1
        source = {"path": f"/src/{code}-{self._version}"}
        run, memory = controller(self.fleet, self._store)
        for host in self.fleet.documents():
            await memory.put(host)
        await memory.put(app_of(source=source, rollout=rollout, history=2))
        self.fleet.made.clear()
        return await run.reconcile("shop")

    async def ask(self, verb: str, **how: Any) -> Outcome:
        """Let a new controller do what `steer rollout VERB` does, or `apply` of the same."""
        run, _ = controller(self.fleet, self._store)
        self.fleet.made.clear()
        if verb == "again":
            return await run.reconcile("shop")
        outcome: Outcome = await getattr(run.steering, verb)("shop", **how)
        return outcome

    @property
    def serving(self) -> list[int]:
        """The generation that each host's traffic goes to."""
        found = [host.serving() for host in self.fleet.hosts.values()]
        assert all(len(numbers) == 1 for numbers in found), found
        return [number for numbers in found for number in numbers]

    @property
    def kept(self) -> list[list[int]]:
        """The releases that each host holds."""
        return [
            sorted(int(name.partition("-")[0]) for name in host.releases)
            for host in self.fleet.hosts.values()
        ]

    async def measured(self, number: int) -> dict[str, tuple[int, int]]:
        """Return how many answers a release's status counts on each host, old and new."""
        _, memory = controller(self.fleet, self._store)
        found = (await memory.releases("shop"))[number - 1].status.cut_over
        hosts = found.hosts if found is not None else ()
        return {host.host: (host.old.requests, host.new.requests) for host in hosts}

    async def cut_overs(self) -> list[str]:
        """Return what events say of them, oldest first."""
        found = await self._store.events("App", "shop", 100)
        return [event.message for event in found if event.reason == "CutOver"]

    def steps(self, *kinds: type[Kind]) -> list[tuple[str, Kind]]:
        return [(name, step) for name, step in self.fleet.made if isinstance(step, kinds)]


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    async with SqliteStore(tmp_path / "state") as store:
        made = Port(store)
        await made.apply()
        yield made


async def test_each_promotion_passes_one_pause(port: Port) -> None:
    first = await port.apply(**CANARY)
    assert port.serving == [2, 1, 1, 1] and "paused at step 2 of 4" in (first.halted or "")
    second = await port.ask("promote", is_full=False)
    assert port.serving == [2, 2, 1, 1] and "paused at step 4 of 4" in (second.halted or "")
    third = await port.ask("promote", is_full=False)
    assert port.serving == [2, 2, 2, 2] and third.is_good and third.halted is None


async def test_a_full_promotion_passes_all_pauses(port: Port) -> None:
    await port.apply(**CANARY)
    assert (await port.ask("promote", is_full=True)).halted is None
    assert port.serving == [2, 2, 2, 2]


async def test_whoever_comes_after_a_dead_controller_stands_at_the_same_pause(port: Port) -> None:
    await port.apply(**CANARY)
    again = await port.ask("again")
    assert port.serving == [2, 1, 1, 1] and port.fleet.made == [] and again.halted is not None
    port.fleet.fuse = 14
    with pytest.raises(Killed):
        await port.ask("promote", is_full=False)
    port.fleet.fuse = None
    again = await port.ask("again")
    assert port.serving == [2, 2, 1, 1] and "step 4 of 4" in (again.halted or "")


async def test_a_paused_app_goes_no_further(port: Port) -> None:
    outcome = await port.apply(paused=True)
    assert port.serving == [1, 1, 1, 1] and outcome.halted is not None and outcome.is_good


@pytest.mark.parametrize(
    ("sick", "allowed", "serving"),
    [
        ("bad-on-h1", 0, [1, 1, 1, 1]),
        ("bad-on-h1", 1, [1, 2, 2, 2]),
        ("bad-on-h1-bad-on-h2", 1, [1, 1, 1, 1]),
        ("bad-on-h1-bad-on-h2", 2, [1, 1, 2, 2]),
        ("sour-on-h3", 1, [2, 2, 1, 2]),
    ],
)
async def test_as_many_hosts_may_fail_as_the_manifest_says(
    port: Port, sick: str, allowed: int, serving: list[int]
) -> None:
    outcome = await port.apply(sick, maxFailures=allowed, minReadySeconds=1)
    assert port.serving == serving
    assert isinstance(outcome.error, Rejected) == (2 not in serving)


async def test_a_rejected_release_is_not_tried_again(port: Port) -> None:
    assert isinstance((await port.apply("bad")).error, Rejected)
    again = await port.ask("again")
    assert isinstance(again.error, Rejected) and "is not tried again" in str(again.error)
    assert port.fleet.made == []


async def test_nothing_switches_before_all_have_booted(port: Port) -> None:
    outcome = await port.apply("bad-on-h4", strategy="BlueGreen")
    assert isinstance(outcome.error, Rejected)
    started = {name for name, step in port.steps(s.StartUnits)}
    assert started == set(NAMES) and port.steps(s.Switch) == []
    await port.apply("good", strategy="BlueGreen")
    order = [type(step) for _, step in port.steps(s.PassGate, s.Switch)]
    assert order[:4] == [s.PassGate] * 4 and port.serving == [3, 3, 3, 3]


async def test_recreate_stops_the_old_everywhere_before_it_starts_anything(port: Port) -> None:
    for host in port.fleet.hosts.values():
        host.may_go_down = True
    await port.apply(strategy="Recreate")
    order = [type(step) for _, step in port.steps(s.StopUnits, s.StartUnits)]
    last_stop = len(order) - 1 - order[::-1].index(s.StopUnits)
    assert last_stop < order.index(s.StartUnits) and port.serving == [2, 2, 2, 2]


async def test_the_way_back_starts_the_old_before_it_stops_anything(port: Port) -> None:
    def lose_the_old(name: str) -> None:
        port.fleet.on_soak = str
        host = port.fleet.hosts[name]
        host.active = {unit for unit in host.active if ".g1" not in unit}
        host.gated.discard(1)

    port.fleet.on_soak = lose_the_old
    outcome = await port.apply("sour", minReadySeconds=1)
    assert isinstance(outcome.error, Rejected) and port.serving == [1, 1, 1, 1]
    soaked = next(at for at, (_, step) in enumerate(port.fleet.made) if isinstance(step, s.Soak))
    back = [
        type(step)
        for name, step in port.fleet.made[soaked + 1 :]
        if name == "h1" and isinstance(step, s.StartUnits | s.PassGate | s.Switch | s.StopUnits)
    ]
    assert back[:3] == [s.StartUnits, s.PassGate, s.Switch]
    assert s.StopUnits in back[3:]


async def test_without_auto_rollback_hosts_that_moved_stay(port: Port) -> None:
    await port.apply("bad-on-h3", autoRollback=False, maxSurge=1, maxUnavailable=0)
    assert port.serving == [2, 2, 1, 1]


async def test_only_good_releases_count_and_the_last_good_one_stays(port: Port) -> None:
    await port.apply()
    await port.apply()
    await port.apply()
    assert port.kept == [[2, 3, 4]] * 4, "two good ones, and the one that runs"
    for _ in range(4):
        assert isinstance((await port.apply("bad")).error, Rejected)
    assert port.serving == [4] * 4
    assert port.kept == [[2, 3, 4]] * 4, "bad ones took the place of good ones"
    undone = await port.ask("undo", to=None)
    assert undone.is_good and port.serving == [9] * 4
    assert all(not step.blobs for _, step in port.steps(s.Upload)), "a way back that sends"


async def test_what_was_seen_before_a_claim_is_looked_at_again(port: Port) -> None:
    def somebody_else(name: str) -> None:
        host = port.fleet.hosts[name]
        run(host, plan(host, target(9)))

    port.fleet.on_claim = somebody_else
    outcome = await port.apply()
    # Release 2 was numbered before the hosts were ours; they hold a release 9 by now.
    assert outcome.is_good and outcome.release is not None
    assert outcome.release.spec.number > 9
    assert port.serving == [outcome.release.spec.number] * 4


async def test_a_host_that_is_away_costs_no_other_and_follows_when_it_is_back(port: Port) -> None:
    port.fleet.away.add("h2")
    outcome = await port.apply()
    assert not outcome.is_good and port.serving == [2, 1, 2, 2]
    port.fleet.away.clear()
    assert (await port.ask("again")).is_good and port.serving == [2, 2, 2, 2]


@pytest.mark.parametrize("verb", ["promote", "abort"])
async def test_nothing_under_way_cannot_be_steered(port: Port, verb: str) -> None:
    how = {"is_full": False} if verb == "promote" else {}
    with pytest.raises(SteersmanError, match="no rollout under way"):
        await port.ask(verb, **how)


async def test_each_switch_is_told_by_its_requests_and_only_once(port: Port) -> None:
    port.fleet.answers = ANSWERED
    await port.apply(**CANARY)
    assert await port.measured(2) == {"h1": (50, 30)}
    await port.ask("promote", is_full=True)
    assert await port.measured(2) == dict.fromkeys(NAMES, (50, 30))
    await port.ask("again")
    told = await port.cut_overs()
    text = "requests failed, errors old 2.0 % new 10.0 %"
    assert told[1:] == [
        f"release 2 took over: 4 of 80 {text}",
        f"release 2 took over: 16 of 320 {text}",
    ]


async def test_the_way_back_is_measured_as_well(port: Port) -> None:
    port.fleet.answers = ANSWERED
    await port.apply("sour", minReadySeconds=1)
    told = await port.cut_overs()
    assert [message.partition(":")[0] for message in told[-2:]] == [
        "release 2 took over",
        "release 1 took over",
    ]
    assert await port.measured(2) == {"h1": (50, 30)}
    assert await port.measured(1) == dict.fromkeys(NAMES, (0, 0))
