"""How a plugin stands: its counts and its `Ready` condition, which tells the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from steersman.api.meta import READY, Condition, set_condition
from steersman.api.plugin import Plugin, PluginStatus
from steersman.api.signals import SHIPPED, SignalName
from steersman.control.status import first_sentence

_MOST_TEXT = 500


@dataclass
class Standing:
    """What is known of a plugin's shipping; `is_ready` is None until something was tried."""

    takes: frozenset[str] = field(default_factory=frozenset)
    shipped: int = 0
    lost: int = 0
    """Signals of batches that were given up; what found no room is counted by the queue."""
    let_go: int = 0
    """Signals that the plugin itself says it dropped."""
    is_ready: bool | None = None
    reason: str = "Starting"
    message: str = ""
    last_success: datetime | None = None
    last_error: str | None = None
    last_error_time: datetime | None = None

    def opened(self, takes: frozenset[str]) -> None:
        """It started: nothing is known to be wrong."""
        self.takes = takes
        if self.last_error is None or self.last_success is not None or self.reason != "NotShipping":
            self._be(True, "Started", "")

    def succeeded(self, count: int) -> None:
        self.shipped += count
        self.last_success = _now()
        self._be(True, "Shipping", "")

    def failed(self, reason: str, error: str) -> None:
        self.last_error = first_sentence(error)[:_MOST_TEXT]
        self.last_error_time = _now()
        self._be(False, reason, self.last_error)

    def _be(self, is_ready: bool, reason: str, message: str) -> None:
        self.is_ready, self.reason, self.message = is_ready, reason, message

    def status(self, plugin: Plugin, dropped: int, queued: int) -> PluginStatus:
        """Return the status to remember, over the one that `plugin` has."""
        generation = plugin.metadata.generation
        condition = Condition(
            type=READY,
            status="Unknown" if self.is_ready is None else "True" if self.is_ready else "False",
            reason=self.reason,
            message=self.message,
            last_transition_time=_now(),
            observed_generation=generation,
        )
        wanted = plugin.spec.signals
        taken: list[SignalName] = [n for n in SHIPPED if n in self.takes]
        return PluginStatus(
            observed_generation=generation,
            conditions=set_condition(plugin.status.conditions, condition),
            signals=tuple(n for n in taken if wanted is None or n in wanted),
            shipped=self.shipped,
            dropped=dropped + self.lost + self.let_go,
            queued=queued,
            last_success=self.last_success,
            last_error=self.last_error,
            last_error_time=self.last_error_time,
        )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
