"""One poisonous signal costs a plugin that signal alone, and a plugin that is broken no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from steersman.api.plugging import PluginError
from steersman.api.plugin import Plugin
from steersman.api.signals import LogRecord, Origin, Signal
from steersman.plugging.process import PluginFault
from steersman.telemetry.shipper import HALVINGS, TRIES, Shipper


class Choking:
    """A process that stumbles over any batch with one of the `poisons` in it."""

    def __init__(self, *poisons: str, error: type[PluginError] = PluginFault) -> None:
        self._poisons, self._error = {*poisons}, error
        self.arrived: list[str] = []
        self.starts = self.asked = 0

    async def start(self) -> Choking:
        self.starts += 1
        return self

    async def open(self, type_: str, name: str, config: Mapping[str, Any]) -> frozenset[str]:
        return frozenset({"logs"})

    async def ship(self, batch: list[Signal], timeout: float) -> int:
        self.asked += 1
        texts = [each.text for each in batch if isinstance(each, LogRecord)]
        if self._poisons.intersection(texts):
            raise self._error("no", is_final=self._error is PluginError)
        self.arrived += texts
        return 0

    async def close(self, timeout: float) -> None: ...

    async def end(self) -> None: ...


def shipper_of(process: Choking, **buffer: Any) -> Shipper:
    async def config() -> dict[str, Any]:
        return {}

    spec = {"type": "jsonl", "buffer": {"wait": 0, **buffer}}
    plugin = Plugin.model_validate({"metadata": {"name": "p"}, "spec": spec})
    return Shipper(plugin, config, process.start)


async def shipped(shipper: Shipper, *texts: str) -> None:
    """Have lines shipped, until each has arrived or is lost."""
    for text in texts:
        shipper.offer(LogRecord(time=1.0, origin=Origin(), text=text), {})
    shipper.begin()
    standing = shipper.standing
    while standing.shipped + standing.lost < len(texts):
        shipper.told.clear()
        await shipper.told.wait()


LINES = [str(number) for number in range(100)]


@pytest.mark.looptime
@pytest.mark.parametrize("poisons", [["0"], ["99"], ["37"], ["37", "38", "71"]])
async def test_only_what_a_plugin_stumbles_over_is_dropped(poisons: list[str]) -> None:
    process = Choking(*poisons)
    shipper = shipper_of(process, batch=100)
    await shipped(shipper, *LINES)
    assert await shipper.close() == []
    assert process.arrived == [line for line in LINES if line not in poisons], "and in their order"
    assert (shipper.standing.lost, shipper.standing.shipped) == (len(poisons), 100 - len(poisons))


@pytest.mark.looptime
async def test_a_plugin_that_ships_nothing_is_not_started_for_each_signal() -> None:
    process = Choking(*LINES)
    shipper = shipper_of(process, batch=100)
    await shipped(shipper, *LINES)
    await shipper.close()
    assert shipper.standing.lost == 100
    assert process.asked <= TRIES + 2 * HALVINGS


@pytest.mark.looptime
async def test_a_batch_that_was_refused_for_good_is_not_sent_again() -> None:
    process = Choking("37", error=PluginError)
    shipper = shipper_of(process, batch=100)
    await shipped(shipper, *LINES)
    await shipper.close()
    assert (shipper.standing.lost, process.asked) == (100, 1)


@pytest.mark.looptime
async def test_what_remains_of_a_batch_is_handed_on_in_its_order() -> None:
    process = Choking(*LINES)
    shipper = shipper_of(process, batch=90)
    for text in LINES:
        shipper.offer(LogRecord(time=1.0, origin=Origin(), text=text), {})
    shipper.begin()
    while process.asked < TRIES + 2:
        shipper.told.clear()
        await shipper.told.wait()
    assert shipper.queued == 100
    left = await shipper.close(0)
    texts = [each.text for each in left if isinstance(each, LogRecord)]
    assert texts == LINES[shipper.standing.lost :]
    assert len(texts) > 50
