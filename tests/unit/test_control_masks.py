"""What a host says when a step fails goes into errors and events: without the app's secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from laws.fake_host import FakeHost
from laws.fleet import HELLO, Fleet
from steersman.api.mask import Masks
from steersman.api.secret import MASK
from steersman.control.converge import Unhealthy, take_steps
from steersman.control.hosts import HostLink
from steersman.control.report import Silent
from steersman.control.turns import Turn
from steersman.planning.steps import PassGate
from steersman.transport.errors import hand_error
from steersman.transport.frames import Reply

VALUE = "c4n4ry-in-the-mine"


class Chatty:
    """A hand whose gate fails with what the app printed."""

    hello = HELLO

    async def call(self, op: str, /, **args: Any) -> Reply:
        if op == "claim":
            return Reply({"epoch": 1}, b"")
        logs = [f"cannot log in with {VALUE}", "bye"]
        error = {"kind": "unhealthy", "message": f"GET /?key={VALUE} answered 500", "logs": logs}
        raise hand_error("h1", error)


async def test_a_failed_gate_is_told_without_secrets() -> None:
    (host,) = Fleet({"h1": FakeHost()}).documents()
    masks = Masks()
    masks.learn([VALUE])

    async def one(seen: int) -> int:
        return 1

    async def never() -> Any:
        raise AssertionError("no link was lost")

    link = HostLink(host, Chatty(), Path, one, never, Turn(Silent()), masks, set())  # type: ignore[arg-type]
    gate = PassGate("it must be healthy", (), 1, 1, 1)
    with pytest.raises(Unhealthy) as refused:
        await take_steps(link, "shop", (gate,), Silent())
    assert refused.value.logs == (f"cannot log in with {MASK}", "bye")
    assert VALUE not in str(refused.value) and f"key={MASK} answered 500" in str(refused.value)
