"""The controller's events as signals."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import Any

from steersman.api.signals import Happening, Origin
from steersman.store.errors import Compacted
from steersman.store.protocol import EVENT, Query, Store
from steersman.telemetry.hub import Hub


async def tell_happenings(store: Store, hub: Hub, since: int) -> None:
    """Publish every event that was written after a revision, and go on until cancelled."""
    while True:
        try:
            async with aclosing(store.watch(since, Query.of(EVENT))) as changes:
                async for change in changes:
                    if change.type in ("ADDED", "MODIFIED"):
                        hub.publish(happening_of(change.object))
        except Compacted:
            # More was written than is kept: those are gone, the next ones are not.
            since = await store.revision()


def happening_of(event: dict[str, Any]) -> Happening:
    """Return an object of kind Event as a signal."""
    spec = event["spec"]
    kind, name = spec["involved"]["kind"], spec["involved"]["name"]
    return Happening(
        time=datetime.fromisoformat(spec["time"]).timestamp(),
        origin=Origin(host=spec.get("host") or "", app=name if kind == "App" else ""),
        about=f"{kind}/{name}",
        reason=spec["reason"],
        message=spec["message"],
        is_warning=spec["type"] == "Warning",
    )
