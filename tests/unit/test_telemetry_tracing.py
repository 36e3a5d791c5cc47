"""What the controller records becomes Happenings, and a rollout one trace of Spans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from steersman.api.mask import Masks
from steersman.api.signals import Happening, Origin, Signal, Span
from steersman.control.memory import Memory
from steersman.planning.steps import EnsureUser, Step
from steersman.store.sqlite import SqliteStore
from steersman.telemetry.happenings import Happenings
from steersman.telemetry.hub import Hub
from steersman.telemetry.tracing import Tracer
from steersman.testing.samples import WITHIN

CANARY = "hunter2-canary"
STEP: Step = EnsureUser(why=f"there is no user {CANARY}", name="shop", home="/srv/shop")


class Ear:
    """Hears a hub."""

    def __init__(self) -> None:
        self.heard: list[Signal] = []
        self._come = asyncio.Event()

    def __call__(self, signal: Signal) -> None:
        self.heard.append(signal)
        self._come.set()

    async def until(self, count: int) -> list[Signal]:
        async with asyncio.timeout(WITHIN):
            while len(self.heard) < count:
                self._come.clear()
                await self._come.wait()
        return self.heard


@pytest.fixture
def masks() -> Masks:
    masks = Masks()
    masks.learn([CANARY])
    return masks


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "state") as store:
        yield store


async def test_each_event_is_published_once_and_again_when_it_comes_again(
    store: SqliteStore, masks: Masks
) -> None:
    hub, ear = Hub(), Ear()
    await store.add_event("Host", "h0", "Normal", "Before", "anybody listened")
    happenings = Happenings(Memory(store), masks, hub, await store.revision())
    with hub.joined(ear):
        following = asyncio.create_task(happenings.run())
        while not ear.heard:
            # It begins where the store is when it begins.
            await store.add_event("Host", "h1", "Warning", "HostLost", f"no answer: {CANARY}", "h1")
            await asyncio.sleep(0)
        count = len(ear.heard)
        await store.add_event("Host", "h1", "Warning", "HostLost", f"no answer: {CANARY}", "h1")
        heard = await ear.until(count + 1)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert {type(each) for each in heard} == {Happening}
    first = heard[0]
    assert isinstance(first, Happening)
    assert (first.about, first.reason, first.is_warning) == ("Host/h1", "HostLost", True)
    assert first.origin == Origin(host="h1")
    assert first.message == "no answer: «secret»"


def happened(reason: str, host: str = "") -> Happening:
    origin = Origin(app="shop", host=host, release=8)
    return Happening(time=0.0, origin=origin, about="App/shop", reason=reason, message="so it is")


async def spans_of(masks: Masks, *, verdict: str, reason: str) -> list[Span]:
    hub, ear = Hub(), Ear()
    tracer = Tracer(hub, masks, quiet=0.0)
    with hub.joined(ear), hub.joined(tracer.hear):
        for host in ("h1", "h2"):
            tracer.step_began(host, "shop", STEP, 1, 2)
            tracer.step_ended(host, "shop", STEP, 0.5)
        tracer.step_began("h2", "shop", STEP, 2, 2)
        tracer.host_ended("h1", "shop", "converged", "")
        tracer.host_ended("h2", "shop", verdict, f"it broke: {CANARY}")  # type: ignore[arg-type]
        hub.publish(happened(reason))
        await ear.until(7)
    return [each for each in ear.heard if isinstance(each, Span)]


async def test_a_rollout_is_one_trace(masks: Masks) -> None:
    spans = await spans_of(masks, verdict="rejected", reason="ReleaseRejected")
    *steps, _, root = spans
    hosts = {span.name: span for span in spans if span.parent == root.id}
    assert {span.trace for span in spans} == {root.trace}
    assert (root.name, root.is_ok, root.parent) == ("rollout shop 8", False, "")
    assert {name: span.is_ok for name, span in hosts.items()} == {
        "h1 converged": True,
        "h2 rejected": False,
    }
    made = [span for span in steps if span.parent != root.id]
    assert [(span.name, span.is_ok) for span in made] == [
        (STEP.text, True), (STEP.text, True), (STEP.text, False),
    ]  # fmt: skip
    assert {span.parent for span in made} == {span.id for span in hosts.values()}
    assert len({span.id for span in spans}) == len(spans)
    assert CANARY not in repr(spans)


async def test_a_good_rollout_is_ok(masks: Masks) -> None:
    *_, root = await spans_of(masks, verdict="converged", reason="Deployed")
    assert root.is_ok
    assert root.attributes == {"message": "so it is"}


async def test_what_was_healed_ends_without_a_host_saying_so(masks: Masks) -> None:
    hub, ear = Hub(), Ear()
    tracer = Tracer(hub, masks, quiet=0.0)
    with hub.joined(ear), hub.joined(tracer.hear):
        tracer.step_began("h1", "shop", STEP, 1, 1)
        tracer.step_ended("h1", "shop", STEP, 0.1)
        hub.publish(happened("Healed", "h1"))
        await ear.until(4)
    assert isinstance(ear.heard[-1], Span)
    assert ear.heard[-1].name == "heal shop 8"
