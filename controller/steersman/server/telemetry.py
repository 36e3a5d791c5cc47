"""All that a daemon sees of its apps and hosts, and whom it tells of it: put together."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from steersman.control.session import Session
from steersman.server.daemon import kept_going
from steersman.server.keep import Keep
from steersman.telemetry.errorlog import FILE as ERRORS
from steersman.telemetry.errorlog import ErrorLog
from steersman.telemetry.errors import Errors
from steersman.telemetry.happenings import Happenings
from steersman.telemetry.hub import Hub
from steersman.telemetry.listening import Listeners
from steersman.telemetry.samples import FILE as SAMPLES
from steersman.telemetry.samples import Samples
from steersman.telemetry.shipping import Shipping
from steersman.telemetry.sources import HostSources
from steersman.telemetry.tracing import Tracer


@dataclass(frozen=True, slots=True)
class Telemetry:
    """A hub, who publishes there, and who takes from it."""

    hub: Hub
    samples: Samples
    book: ErrorLog
    errors: Errors
    listeners: Listeners
    shipping: Shipping
    happenings: Happenings
    tracer: Tracer

    @classmethod
    def of(cls, session: Session, folder: Path, keep: Keep, since: int) -> Self:
        """Return that of a daemon with its state in `folder`, where `since` is the revision."""
        hub, memory, masks = Hub(), session.memory, session.vault.masks
        return cls(
            hub=hub,
            samples=Samples(folder / SAMPLES, keep.samples.bounds),
            book=ErrorLog(folder / ERRORS, keep.errors.bounds),
            errors=Errors(hub, HostSources(session), masks),
            listeners=Listeners(session, hub, folder),
            shipping=Shipping(memory, session.vault, hub),
            happenings=Happenings(memory, masks, hub, since),
            tracer=Tracer(hub, masks),
        )

    def doors(self) -> list[AbstractAsyncContextManager[object]]:
        """Return what takes from the hub; those who listen are to come last, and leave first."""
        return [
            self.samples.keeping(self.hub),
            self.book.keeping(self.hub),
            self.shipping.running(),
            self.errors.watching(),
            kept_going("events", self.happenings.run),
        ]
