"""Ships signals for every Plugin object, as its spec says, and begins anew when that changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import structlog

from steersman.api.objects import parse_object
from steersman.api.plugin import Plugin
from steersman.api.signals import Signal
from steersman.control.memory import Memory
from steersman.control.plugins import Probed, config_of, tried
from steersman.control.vault import Vault
from steersman.plugging.process import PluginProcess
from steersman.store.errors import NotStored, UidConflict
from steersman.store.protocol import Query, Stored
from steersman.telemetry.anew import ever_anew
from steersman.telemetry.hub import Hub
from steersman.telemetry.shipper import CLOSING, Process, Shipper

log = structlog.get_logger(__name__)

KINDS = ("App", "Plugin", "Secret")
REPORT, LEAST = 15.0, 1.0
"""Seconds between two reports of counts, and the least between two of any kind."""


@dataclass(frozen=True)
class _Wish:
    """What makes a plugin begin anew when it changes."""

    uid: str | None
    spec: object
    versions: Mapping[str, str | None] = field(default_factory=dict)


class Shipping:
    """Keeps a Shipper for each Plugin in the store while it runs."""

    def __init__(
        self,
        memory: Memory,
        vault: Vault,
        hub: Hub,
        start: Callable[[], Awaitable[Process]] = PluginProcess.start,
        *,
        least: float = LEAST,
        closing: float = CLOSING,
    ) -> None:
        self._least, self._closing = least, closing
        self._memory, self._vault, self._hub, self._start = memory, vault, hub, start
        self._labels: dict[str, Mapping[str, str]] = {}
        self._plugins: dict[str, Plugin] = {}
        self._versions: dict[str, str | None] = {}
        self._running: dict[str, tuple[_Wish, Shipper, asyncio.Task[None]]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ship what the hub passes while the body runs; then ship what waits, for a little."""
        following = asyncio.create_task(
            ever_anew(self._follow_from_here, "shipping", "shipping_failed", LEAST), name="shipping"
        )
        try:
            with self._hub.joined(self._offer):
                yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await asyncio.gather(*(self._end(name) for name in tuple(self._running)))

    async def probe(self, name: str) -> list[Probed] | None:
        """Try the plugin `name` as it is at work; return None where it is not."""
        running = self._running.get(name)
        if running is None or not running[1].is_open:
            return None
        shipper = running[1]
        return await tried(shipper.try_now, name, shipper.takes, self._vault.masks)

    def _offer(self, signal: Signal) -> None:
        for _, shipper, _ in self._running.values():
            shipper.offer(signal, self._labels)

    async def _follow_from_here(self) -> None:
        page = await self._memory.store.page(Query.of(*KINDS))
        for known in (self._labels, self._plugins, self._versions):
            known.clear()
        for stored in page.items:
            self._learn(stored)
        await self._settle()
        watch = self._memory.store.watch(page.revision, Query.of(*KINDS))
        async with aclosing(watch) as changes:
            async for change in changes:
                if change.type == "DELETED":
                    self._forget(change.kind, change.name)
                elif change.type != "BOOKMARK":
                    self._learn(change.stored)
                if change.kind in ("Plugin", "Secret"):
                    await self._settle()

    def _learn(self, stored: Stored) -> None:
        if stored.kind == "App":
            self._labels[stored.name] = stored.labels
        elif stored.kind == "Secret":
            self._versions[stored.name] = stored.status.get("version")
        else:
            plugin = parse_object(stored.object)
            if isinstance(plugin, Plugin):
                self._plugins[stored.name] = plugin

    def _forget(self, kind: str, name: str) -> None:
        if kind == "App":
            self._labels.pop(name, None)
        elif kind == "Secret":
            self._versions.pop(name, None)
        else:
            self._plugins.pop(name, None)

    async def _settle(self) -> None:
        """Have a Shipper at work for each plugin, made to what it says now, and no other."""
        for name in [name for name in self._running if name not in self._plugins]:
            await self._end(name)
        for name, plugin in self._plugins.items():
            wish = self._wish(plugin)
            running = self._running.get(name)
            if running is not None and running[0] == wish:
                running[1].plugin = plugin
                continue
            left = await self._end(name) if running is not None else []
            self._begin(plugin, wish, left)

    def _wish(self, plugin: Plugin) -> _Wish:
        versions = {name: self._versions.get(name) for name in plugin.secrets}
        return _Wish(plugin.metadata.uid, plugin.spec, versions)

    def _begin(self, plugin: Plugin, wish: _Wish, left: list[Signal]) -> None:
        masked = self._vault.masks.text
        shipper = Shipper(plugin, lambda: config_of(plugin, self._vault), self._start, masked)
        for signal in left:
            shipper.offer(signal, self._labels)
        shipper.begin()
        telling = asyncio.create_task(self._tell(shipper), name=f"plugin {plugin.name} told")
        self._running[plugin.name] = wish, shipper, telling
        log.info("plugin_began", plugin=plugin.name, type=plugin.spec.type)

    async def _end(self, name: str) -> list[Signal]:
        _, shipper, telling = self._running.pop(name)
        left = await shipper.close(self._closing)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        await self._report(shipper)
        return left

    async def _tell(self, shipper: Shipper) -> None:
        """Remember how a plugin stands: soon when that changed, else now and then."""
        while True:
            await self._report(shipper)
            await asyncio.sleep(self._least)
            try:
                async with asyncio.timeout(REPORT):
                    await shipper.told.wait()
            except TimeoutError:
                continue

    async def _report(self, shipper: Shipper) -> None:
        shipper.told.clear()
        plugin = shipper.plugin
        try:
            status = shipper.standing.status(plugin, shipper.waiting.dropped, shipper.queued)
            if status == plugin.status:
                return
            data = status.model_dump(mode="json", by_alias=True, exclude_none=True)
            await self._memory.store.put_status(
                "Plugin", plugin.name, data, uid=plugin.metadata.uid
            )
            shipper.plugin = plugin.model_copy(update={"status": status})
        except (NotStored, UidConflict):
            pass  # it was deleted meanwhile
        except Exception:
            log.exception("plugin_not_told", plugin=plugin.name)
