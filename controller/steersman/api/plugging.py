"""What a plugin is: the one class that somebody who ships signals elsewhere writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from steersman.api.errors import SteersmanError
from steersman.api.model import Model
from steersman.api.signals import Signal, SignalName


class PluginError(SteersmanError):
    """A plugin could not ship; `after` says how many seconds the other side asks to be left alone.

    The same batch is tried again, unless the error is final: trying again would not mend it.
    """

    def __init__(self, message: str, *, is_final: bool = False, after: float = 0.0) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.after = after


class Plugin:
    """The base of every plugin; an entry point in `steersman.plugins` names the class by its type.

    It is made once for each object of kind Plugin, with `config` an instance of its own `Config`,
    and used by one task: no two of its methods ever run at a time. Whatever it raises, and however
    long it takes, concerns nobody else.
    """

    takes: ClassVar[frozenset[SignalName]]

    class Config(Model):
        """What `spec.config` may say."""

    def __init__(self, name: str, config: Any) -> None:
        self.name = name
        self.config = config

    @property
    def dropped(self) -> int:
        """How many signals it let go by itself, besides those of batches that failed."""
        return 0

    async def start(self) -> None:
        """Open what is needed; raises PluginError."""

    async def ship(self, batch: Sequence[Signal]) -> None:
        """Ship signals that it takes, oldest first; raises PluginError when they did not arrive."""
        raise NotImplementedError

    async def close(self) -> None:
        """Ship what is held back, and let go of everything."""
