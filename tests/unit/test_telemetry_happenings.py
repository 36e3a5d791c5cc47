"""The controller's events are told as signals, from the moment that is named."""

import asyncio

from steersman.api.mask import Masks
from steersman.api.signals import Happening, Signal
from steersman.control.memory import Memory
from steersman.store.memory import MemoryStore
from steersman.telemetry.happenings import Happenings
from steersman.telemetry.hub import Hub
from steersman.testing.samples import WITHIN


async def test_events_since_a_revision_are_told_once_each_time_they_happen() -> None:
    store, hub = MemoryStore(), Hub()
    told: asyncio.Queue[Signal] = asyncio.Queue()
    await store.add_event("Host", "h1", "Warning", "HostLost", "before", "h1")
    since = await store.revision()
    await store.add_event("Host", "h2", "Warning", "HostLost", "no route", "h2")
    with hub.joined(told.put_nowait):
        task = asyncio.create_task(Happenings(Memory(store), Masks(), hub, since).run())
        try:
            first = await asyncio.wait_for(told.get(), WITHIN)
            await store.add_event("App", "shop", "Normal", "Healed", "wrote a file")
            await store.add_event("Host", "h2", "Warning", "HostLost", "no route", "h2")
            others = [await asyncio.wait_for(told.get(), WITHIN) for _ in range(2)]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    seen = [each for each in (first, *others) if isinstance(each, Happening)]
    assert [(each.about, each.reason, each.is_warning) for each in seen] == [
        ("Host/h2", "HostLost", True),
        ("App/shop", "Healed", False),
        ("Host/h2", "HostLost", True),
    ]
    assert (seen[0].origin.host, seen[1].origin.app, told.empty()) == ("h2", "shop", True)
