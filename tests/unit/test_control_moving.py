"""In which order hosts gain and give up an app, whatever becomes of the release meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from laws.test_planning import app_of, wanted
from steersman.api.app import App, AppStatus
from steersman.api.errors import SteersmanError
from steersman.api.host import CORDON, Host
from steersman.api.release import Release
from steersman.control.choice import Choice
from steersman.control.outcome import HostOutcome, Outcome
from steersman.control.rollout import Rollout

RELEASE = wanted(1).release


class Recorded(Rollout):
    """A rollout that only tells what it would do, on hosts of which some do not answer."""

    def __init__(self, fault: SteersmanError | None = None, away: Sequence[str] = ()) -> None:
        self.told: list[object] = []
        self._fault = fault
        self._is_dry = False
        self._binding = None

        async def connect_all(names: Iterable[str], hosts: Mapping[str, Host]) -> Any:
            links = {name: SimpleNamespace(name=name) for name in names if name not in away}
            return links, {name: SteersmanError(f"{name} is away") for name in away}

        async def releases(name: str) -> list[Release]:
            return [RELEASE]

        self._session = SimpleNamespace(connect_all=connect_all)  # type: ignore[assignment]
        self._memory = SimpleNamespace(releases=releases)  # type: ignore[assignment]
        self._report = SimpleNamespace(host_ended=lambda *_: None)
        told = SimpleNamespace(deploy=self._tell_deploy, remove=self._tell_remove)
        self._deploying = told  # type: ignore[assignment]

    async def _choice(self, app: App, links: Any, shares: Any, aim: Any) -> Choice:
        return Choice(app, RELEASE, [RELEASE], links, shares)

    async def _tell_deploy(self, choice: Choice) -> Outcome:
        self.told.append({link.name: choice.shares[link.name]["web"] for link in choice.links})
        hosts = [HostOutcome(link.name, "converged") for link in choice.links]
        hosts[-1] = replace(hosts[-1], error=self._fault)
        return Outcome("shop", RELEASE, tuple(hosts))

    async def _tell_remove(self, app: App, links: Any) -> list[HostOutcome]:
        self.told.append([link.name for link in links])
        return [HostOutcome(link.name, "removed") for link in links]


def app(**on: int) -> App:
    web = {"command": "gunicorn shop.wsgi", "port": "http", "replicas": 4}
    rows = [
        {"host": name, "process": "web", "release": 1, "desired": n, "ready": n}
        for name, n in on.items()
    ]
    status = AppStatus.model_validate({"hosts": sorted(on), "processes": rows, "release": 1})
    return app_of(processes={"web": web}).model_copy(update={"status": status})


def hosts(*names: str, drained: str = "") -> dict[str, Host]:
    return {
        name: Host.model_validate(
            {
                "metadata": {
                    "name": name,
                    "annotations": {CORDON: "drained"} if name == drained else {},
                },
                "spec": {"address": f"{name}.example.com"},
            }
        )
        for name in names
    }


async def test_a_drained_host_gives_up_last() -> None:
    rollout = Recorded()
    outcome = await rollout.run(app(h1=4), hosts("h1", "h2", drained="h1"))
    assert rollout.told == [{"h2": 4}, ["h1"]]
    assert outcome.shares == {"h2": {"web": 4}}


async def test_a_host_that_comes_is_filled_before_others_are_emptied() -> None:
    rollout = Recorded()
    outcome = await rollout.run(app(h1=4), hosts("h1", "h2"))
    assert rollout.told == [{"h1": 4, "h2": 2}, {"h1": 2, "h2": 2}, []]
    assert outcome.shares == {"h1": {"web": 2}, "h2": {"web": 2}}


@pytest.mark.parametrize(
    "rollout", [Recorded(SteersmanError("it is sick")), Recorded(away=["h2"])], ids=["sick", "away"]
)
async def test_nobody_gives_up_anything_for_a_host_that_did_not_gain(rollout: Recorded) -> None:
    outcome = await rollout.run(app(h1=2, h3=2), hosts("h1", "h2", "h3", drained="h3"))
    # h3 was drained and h1 keeps what it has; nobody is told to remove or to shrink anything.
    assert ["h3"] not in rollout.told and len(rollout.told) == 1
    assert not outcome.is_good


async def test_an_app_that_fits_nowhere_stays_where_it_is() -> None:
    rollout = Recorded()
    outcome = await rollout.run(app(h1=4), hosts("h1", drained="h1"))
    assert rollout.told == []
    assert "placed on no host" in str(outcome.error)
