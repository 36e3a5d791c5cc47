"""What one call does is heard where it was made, also at the other end of a stream."""

import asyncio
from typing import Any

import orjson
import pytest

from steersman.control.relay import Relay
from steersman.control.told import NotTold, Teller, Told, play
from steersman.planning.steps import EnsureDir


def heard() -> tuple[list[Told], Teller]:
    calls: list[Told] = []
    return calls, Teller(calls.append)


async def test_two_calls_at_once_hear_only_themselves() -> None:
    relay = Relay()
    both_listen = asyncio.Barrier(2)

    async def call(name: str) -> list[Told]:
        calls, teller = heard()
        with relay.listening(teller):
            await both_listen.wait()
            await asyncio.gather(*(one(f"{name}-{n}") for n in range(2)))
            await both_listen.wait()
        return calls

    async def one(subject: str) -> None:
        relay.said(subject, "hello")

    shop, blog = await asyncio.gather(call("shop"), call("blog"))
    assert [each["subject"] for each in shop] == ["shop-0", "shop-1"]
    assert [each["subject"] for each in blog] == ["blog-0", "blog-1"]


async def test_listeners_within_each_other_all_hear_and_stop_at_their_end() -> None:
    relay = Relay()
    outer, to_outer = heard()
    inner, to_inner = heard()
    with relay.listening(to_outer):
        with relay.listening(to_inner):
            relay.said("shop", "one")
        relay.said("shop", "two")
    relay.said("shop", "three")
    assert [each["text"] for each in outer] == ["one", "two"]
    assert [each["text"] for each in inner] == ["one"]


async def test_a_stream_says_at_its_end_what_was_said_at_its_beginning() -> None:
    step = EnsureDir(why="it is absent", path="/srv/x", mode=0o755, owner="root")
    first, teller = heard()
    teller.object_changed("app/shop", "created")
    teller.said("shop", "release 1")
    teller.step_began("h1", "shop", step, 1, 2)
    teller.step_ended("h1", "shop", step, 0.5)
    teller.host_ended("h1", "shop", "converged", "")
    again, replay = heard()
    for each in first:
        play(orjson.loads(orjson.dumps(each)), replay)
    assert again == first
    assert first[2]["step"] == {"text": "create folder /srv/x", "why": "it is absent"}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"told": "exec"},
        {"told": "said", "subject": "shop"},
        {"told": "host_ended", "host": "h", "app": "a", "verdict": "great", "detail": ""},
        {"told": "step_began", "host": "h", "app": "a", "step": None, "number": 1, "of": 1},
        {"told": "step_ended", "host": "h", "app": "a", "step": {"text": "", "why": ""}},
    ],
)
def test_what_is_no_progress_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(NotTold, match="same version"):
        play(data, heard()[1])
