"""One plugin at work: what waits for it, its process, and how it stands."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import structlog

from steersman.api.errors import SteersmanError
from steersman.api.plugging import PluginError
from steersman.api.plugin import Plugin
from steersman.api.signals import SHIPPED, Signal, SignalName
from steersman.plugging.process import PluginFault
from steersman.plugging.types import NotInstalled
from steersman.telemetry.pace import Pace
from steersman.telemetry.standing import Standing
from steersman.telemetry.waiting import Waiting

log = structlog.get_logger(__name__)

CLOSING = 5.0
"""Seconds in which a plugin ships what waits, when it has to end."""
TRIES = 3
"""How often a batch is tried that a plugin stumbles over, before it is taken apart."""
HALVINGS = 16
"""How often batches are halved, to drop only what a plugin stumbles over, until one is shipped:
one that ships nothing at all is not to be started anew for every signal."""
ANEW = 5.0
"""Seconds before another process is started, at the least: each takes a quarter of one of CPU."""
FIRST_PAUSE, LONGEST_PAUSE, MOST_AFTER = 0.5, 60.0, 3600.0


class Process(Protocol):
    """What runs the plugin's code: `plugging.process.PluginProcess`."""

    async def open(self, type_: str, name: str, config: Mapping[str, Any]) -> frozenset[str]: ...

    async def ship(self, batch: list[Signal], timeout: float) -> int: ...

    async def close(self, timeout: float) -> None: ...

    async def end(self) -> None: ...


class Shipper:
    """Ships for one Plugin object, from `begin` to `close`; `offer` never waits.

    `config` returns the plugin's config with the values of Secrets in it.
    """

    def __init__(
        self,
        plugin: Plugin,
        config: Callable[[], Awaitable[dict[str, Any]]],
        start: Callable[[], Awaitable[Process]],
        masked: Callable[[str], str] = str,
    ) -> None:
        self.plugin = plugin
        self.standing = Standing()
        self.waiting = Waiting(plugin.spec.buffer)
        self.told = asyncio.Event()
        """Set when it stands otherwise than before."""
        self._config, self._start, self._masked = config, start, masked
        self._batch: list[Signal] = []
        self._pace = Pace(plugin.spec.buffer.wait)
        self._parts: list[list[Signal]] = []
        """What remains of a batch that was taken apart, the oldest at the end."""
        self._tries = self._failures = self._halvings = 0
        self._come, self._closing = asyncio.Event(), asyncio.Event()
        self._process: Process | None = None
        """The process at work, once the plugin has started in it."""
        self._turn = asyncio.Lock()
        self._broken: PluginFault | None = None
        self._types = self._types_of(frozenset(SHIPPED))
        self._task: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        return len(self.waiting) + len(self._batch) + sum(map(len, self._parts))

    def begin(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"plugin {self.plugin.name}")

    @property
    def takes(self) -> tuple[SignalName, ...]:
        """The kinds of signals that it ships."""
        return tuple(name for name, type_ in SHIPPED.items() if type_ in self._types)

    def offer(self, signal: Signal, labels: Mapping[str, Mapping[str, str]]) -> None:
        """Have a signal wait, if it is of those that this plugin ships."""
        if isinstance(signal, self._types) and self.plugin.spec.select.lets(signal, labels):
            self.waiting.put(signal)
            self._come.set()

    @property
    def is_open(self) -> bool:
        return self._process is not None

    async def try_now(self, signal: Signal) -> None:
        """Ship one signal before what waits, by the plugin at work; raises PluginError."""
        async with self._turn:
            process = self._process
            if process is None:
                raise PluginError("it begins anew just now; try again")
            try:
                await process.ship([signal], self.plugin.spec.timeout)
            except (PluginFault, asyncio.CancelledError) as error:
                # Nobody would take its answer any more: it has to begin anew.
                given_up = PluginFault("a probe was given up")
                self._broken = error if isinstance(error, PluginFault) else given_up
                self._process = None
                self._come.set()
                await process.end()
                raise

    async def close(self, seconds: float = CLOSING) -> list[Signal]:
        """Ship what waits for so many seconds at most, and end; return what was not shipped."""
        self._closing.set()
        self._come.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        parts = [self._batch, *reversed(self._parts), self.waiting.give_up()]
        self._batch, self._parts = [], []
        return [signal for part in parts for signal in part]

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception as error:
                self._failed(error)
            if self._closing.is_set():
                return
            await self._pause(ANEW)

    async def _serve(self) -> None:
        """Open a process and ship by it until there is something wrong with it, or it is to end."""
        process, before = await self._start(), self.standing.let_go
        self._broken = None
        try:
            plugin = self.plugin
            takes = await process.open(plugin.spec.type, plugin.name, await self._config())
            self._types = self._types_of(takes)
            self.standing.opened(takes)
            self._process = process
            self.told.set()
            while await self._fill():
                try:
                    async with self._turn:
                        let_go = await process.ship(self._batch, self.plugin.spec.timeout)
                except PluginFault:
                    raise
                except PluginError as error:
                    self._failed(error)
                    if self._closing.is_set():
                        return
                    await self._pause(error.after)
                else:
                    self.standing.let_go = before + let_go
                    self._succeeded()
            async with self._turn:
                self._process = None
                with suppress(PluginError):
                    await process.close(CLOSING)
        finally:
            self._process = None
            await process.end()

    async def _fill(self) -> bool:
        """Wait for a batch; return whether there is one, which is no more when it is to end."""
        while not self._batch:
            if self._broken is not None:
                raise self._broken
            if self._parts:
                self._batch = self._parts.pop()
                continue
            if not self.waiting:
                if self._closing.is_set():
                    return False
                self._come.clear()
                await self._come.wait()
                continue
            if not self.waiting.is_batch:
                await self._ended_within(self._pace.held(_now()))
            self._pace.left(_now())
            # Until it was open, nobody knew what it takes.
            self._batch = [each for each in self.waiting.take() if isinstance(each, self._types)]
        return True

    def _succeeded(self) -> None:
        was = self.standing.is_ready, self.standing.reason
        self.standing.succeeded(len(self._batch))
        self._batch, self._failures, self._halvings = [], 0, 0
        self._tries = self._tries_of_next()
        if was != (True, "Shipping"):
            log.info("plugin_ships", plugin=self.plugin.name)
            self.told.set()

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        text = self._masked(str(error) or type(error).__name__)
        is_known = isinstance(error, SteersmanError)
        if not is_known:
            log.exception("plugin_failed", plugin=self.plugin.name, exc_info=error)
        self.standing.failed(_reason(error), text)
        log.warning("plugin_not_shipping", plugin=self.plugin.name, why=text)
        self.told.set()
        is_final = isinstance(error, PluginError) and error.is_final
        self._tries += isinstance(error, PluginFault) or not is_known
        if self._batch and (is_final or self._tries >= TRIES):
            self._give_up(is_final=is_final)

    def _give_up(self, *, is_final: bool) -> None:
        """Drop the batch, or halve it where only a part may be what the plugin stumbles over."""
        half = len(self._batch) // 2
        if half and not is_final and self._halvings < HALVINGS:
            self._halvings += 1
            self._failures = 1
            self._parts += [self._batch[half:], self._batch[:half]]
        else:
            self.standing.lost += len(self._batch)
        self._batch, self._tries = [], self._tries_of_next()

    def _tries_of_next(self) -> int:
        """Return how often the next batch counts as tried: a part was, together with the rest."""
        return TRIES - 1 if self._parts else 0

    async def _pause(self, least: float = 0.0) -> None:
        """Wait longer after each failure, and as long as the other side asks to be left alone."""
        usual = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures - 1, 16))
        spread = usual * (1 - 0.25 * random.random())  # noqa: S311 - spreads load only
        await self._ended_within(max(min(least, MOST_AFTER), spread))

    async def _ended_within(self, seconds: float) -> None:
        """Wait, but no longer than until it is to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    def _types_of(self, takes: frozenset[str]) -> tuple[type[Signal], ...]:
        wanted = self.plugin.spec.signals
        return tuple(
            type_
            for name, type_ in SHIPPED.items()
            if name in takes and (wanted is None or name in wanted)
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _reason(error: Exception) -> str:
    if isinstance(error, NotInstalled):
        return "NotInstalled"
    if isinstance(error, PluginFault):
        return "Fault"
    return "NotShipping" if isinstance(error, PluginError) else "NotStarted"
