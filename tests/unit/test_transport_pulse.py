"""The pulse by a clock of its own: pings end a silence, and a long one is the end of a link."""

from __future__ import annotations

import asyncio

import pytest

from steersman.transport.pulse import USUAL, Pulse

pytestmark = pytest.mark.looptime


class Host:
    """Answers pings after 0.2 s, or does not."""

    def __init__(self, *, is_there: bool) -> None:
        self.silences: list[float] = []
        self._is_there = is_there
        self.pulse = Pulse(USUAL, lambda: True, self._ping, self.silences.append)
        self.pulse.begin()

    def _ping(self) -> None:
        if self._is_there:
            asyncio.get_running_loop().call_later(0.2, self._answer)

    def _answer(self) -> None:
        self.pulse.alive()
        self.pulse.answered()


async def test_a_host_that_answers_pings_is_never_silent() -> None:
    host = Host(is_there=True)
    await asyncio.sleep(100 * USUAL.silence)
    host.pulse.stop()
    assert host.silences == []
    assert host.pulse.round_trip == pytest.approx(0.2)


async def test_a_host_that_does_not_is_silent_for_as_long_as_was_said() -> None:
    host = Host(is_there=False)
    await asyncio.sleep(USUAL.silence - 0.1)
    assert host.silences == []
    await asyncio.sleep(0.2)
    assert host.silences == [pytest.approx(USUAL.silence)]
