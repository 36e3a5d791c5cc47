"""Random manifests, wishes and faults: whatever happened, the next calm apply mends everything."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from laws.fake_host import FakeHost
from laws.fleet import Fleet, Killed, controller
from laws.test_planning import app_of, units_of
from steersman.api.errors import SteersmanError
from steersman.control.apply import Controller
from steersman.control.memory import Memory
from steersman.control.outcome import Outcome, Rejected
from steersman.store.sqlite import SqliteStore

NAMES = ("h1", "h2", "h3", "h4")
CANARY = {"steps": [{"hosts": 1}, {"pause": {}}, {"hosts": "50%"}, {"pause": {}}]}
ROLLOUTS: list[dict[str, Any]] = [
    {},
    {"maxSurge": 1, "maxUnavailable": 0, "minReadySeconds": 1},
    {"maxFailures": 1, "minReadySeconds": 1},
    {"autoRollback": False},
    {"strategy": "Canary", "canary": CANARY, "minReadySeconds": 1},
    {"strategy": "BlueGreen"},
    {"strategy": "BlueGreen", "blueGreen": {"autoPromotion": False}},
    {"strategy": "Recreate"},
]
CODE = ["good", "good", "good", "bad", "sour", "bad-on-h1", "bad-on-h3", "sour-on-h2"]
Wish = Callable[[Controller], Awaitable[object]]


def serves(host: FakeHost) -> bool:
    """Whether everything that traffic is sent to runs."""
    return all(any(f"web.g{number}@" in unit for unit in host.active) for number in host.serving())


class Rollouts(RuleBasedStateMachine):
    """Four hosts, one app, and controllers that come and go; one state file outlives them."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="steersman-fleet-"))
        self.fleet = Fleet({name: FakeHost() for name in NAMES})
        self.version = 0
        self._apply("good", {})

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        try:
            self._mend()
        finally:
            shutil.rmtree(self.folder)

    async def _with(self, wish: Wish) -> object:
        async with SqliteStore(self.folder / "state") as store:
            run, _ = controller(self.fleet, store)
            return await wish(run)

    def _do(self, wish: Wish, fuse: int | None = None) -> object:
        """Let one controller do something, and perhaps die of it; what it refuses is no fault."""
        self.fleet.fuse = fuse
        try:
            return asyncio.run(self._with(wish))
        except (SteersmanError, Killed) as error:
            return error
        finally:
            self.fleet.fuse = None

    def _apply(self, code: str, rollout: dict[str, Any], fuse: int | None = None) -> object:
        self.version += 1
        source = {"path": f"/src/{code}-{self.version}"}
        app = app_of(source=source, rollout=rollout, history=2)
        for host in self.fleet.hosts.values():
            # One that a killed Recreate left without anything is down until it is mended.
            host.may_go_down = rollout.get("strategy") == "Recreate" or not serves(host)

        async def wish(run: Controller) -> object:
            memory: Memory = run._memory
            for host in self.fleet.documents():
                await memory.put(host)
            await memory.put(app)
            return await run.reconcile("shop")

        return self._do(wish, fuse)

    @rule(
        code=st.sampled_from(CODE),
        rollout=st.sampled_from(ROLLOUTS),
        fuse=st.none() | st.integers(0, 60),
    )
    def apply(self, code: str, rollout: dict[str, Any], fuse: int | None) -> None:
        self._apply(code, rollout, fuse)

    @rule(fuse=st.none() | st.integers(0, 40))
    def again(self, fuse: int | None) -> None:
        self._do(lambda run: run.reconcile("shop"), fuse)

    @rule(full=st.booleans(), fuse=st.none() | st.integers(0, 40))
    def promote(self, full: bool, fuse: int | None) -> None:
        self._do(lambda run: run.steering.promote("shop", is_full=full), fuse)

    @rule(fuse=st.none() | st.integers(0, 40))
    def abort(self, fuse: int | None) -> None:
        self._do(lambda run: run.steering.abort("shop"), fuse)

    @rule(fuse=st.none() | st.integers(0, 40))
    def undo(self, fuse: int | None) -> None:
        self._do(lambda run: run.steering.undo("shop", None), fuse)

    @rule(fuse=st.none() | st.integers(0, 40))
    def restart(self, fuse: int | None) -> None:
        self._do(lambda run: run.steering.restart("shop"), fuse)

    @rule()
    def pause(self) -> None:
        self._do(lambda run: run.steering.pause("shop"))

    @rule()
    def resume(self) -> None:
        self._do(lambda run: run.steering.resume("shop"))

    @rule(name=st.sampled_from(NAMES))
    def lose(self, name: str) -> None:
        self.fleet.away.add(name)

    @rule(name=st.sampled_from(NAMES))
    def find(self, name: str) -> None:
        self.fleet.away.discard(name)

    @invariant()
    def traffic_goes_to_what_runs(self) -> None:
        for name, host in self.fleet.hosts.items() if hasattr(self, "fleet") else ():
            assert host.may_go_down or serves(host), name

    def _mend(self) -> None:
        """Every host is back and nobody meddles: one apply of good code is all it takes."""
        self.fleet.away.clear()
        self._do(lambda run: run.steering.resume("shop"))
        outcome = self._apply("good", {})
        assert isinstance(outcome, Outcome) and outcome.is_good, outcome
        assert outcome.release is not None
        number = outcome.release.spec.number
        for name, host in self.fleet.hosts.items():
            assert host.active == units_of(number), f"{name} runs something else"
            assert host.serving() == {number}
            assert (host.current or "").startswith(f"releases/{number}-")
            assert len(host.releases) <= 3, "more than the history and the running one"
            assert len(host.builds) == len(set(host.releases.values()))
            told = re.findall(r"\.g(\d+)", " ".join(host.files))
            assert set(told) == {str(number)}, f"{name} has files of other generations"
        again = self._do(lambda run: run.reconcile("shop"))
        assert isinstance(again, Outcome) and all(h.steps == () for h in again.hosts), again


@pytest.mark.parametrize("code", ["bad", "sour"])
def test_a_release_that_fails_does_so_on_one_host_and_is_taken_back(code: str) -> None:
    run = Rollouts()
    run.begin()
    outcome = run._apply(code, {"minReadySeconds": 1})
    assert isinstance(outcome, Outcome) and isinstance(outcome.error, Rejected)
    assert run.fleet.refused == {"h1"}, "others paid for what one had shown"
    for host in run.fleet.hosts.values():
        assert host.serving() == {1} and host.active == units_of(1)
    run.teardown()


Rollouts.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=12,
)
TestRollouts = Rollouts.TestCase
