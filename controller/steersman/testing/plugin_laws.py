"""The laws of plugins: whoever ships signals elsewhere passes these, over a real other side.

Subclass `PluginLaws` in your tests with two fixtures: `plugin_class` gives the class, and `server`
the other side, a `Server` that you fill.
"""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, get_args

import pytest

from steersman.api.model import Model
from steersman.api.plugging import Plugin, PluginError
from steersman.api.signals import SHIPPED, Signal, SignalName
from steersman.testing.signals import HOSTILE, hostile, marker_of, signal

__all__ = ["PluginLaws", "Server"]

ARRIVING = 60.0
"""Seconds in which what was shipped must be there."""


class Server:
    """The other side of a plugin, as real as can be: the very server, or one that reads the same.

    `config` is the `spec.config` that leads to it; `secrets` are the values in it that nobody may
    see again, such as a password.
    """

    config: Mapping[str, Any]
    secrets: Sequence[str] = ()

    async def received(self) -> str:
        """Return all that has arrived so far, decoded, as one text."""
        raise NotImplementedError

    async def refuse(self, is_refusing: bool) -> None:
        """Refuse whatever comes, or accept it again."""
        raise NotImplementedError

    def marker(self, signal: Signal) -> str:
        """Return what of a signal must be found in `received`."""
        return marker_of(signal)


class PluginLaws:
    """What every plugin promises.

    Set `is_polled` when the other side fetches what was shipped, and `is_deaf` when nobody can
    tell whether it arrived, as with UDP.
    """

    is_polled = False
    is_deaf = False

    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        raise NotImplementedError("give your test class a fixture `plugin_class`")

    @pytest.fixture
    def server(self) -> Server:
        raise NotImplementedError("give your test class a fixture `server`")

    @pytest.fixture
    def make(self, plugin_class: type[Plugin], server: Server) -> Callable[[], Plugin]:
        """Make a plugin that ships to the server."""

        def made() -> Plugin:
            config = plugin_class.Config.model_validate(dict(server.config), by_alias=True)
            return plugin_class("law", config)

        return made

    def test_it_says_what_it_is(self, plugin_class: type[Plugin]) -> None:
        assert plugin_class.takes, "`takes` names the signals that it ships"
        assert plugin_class.takes <= frozenset(get_args(SignalName))
        assert issubclass(plugin_class.Config, Model), "`Config` is a steersman.api.model.Model"
        assert (plugin_class.__doc__ or "").strip(), "`steer plugin list` shows the docstring"
        assert plugin_class.__doc__ != Plugin.__doc__

    def test_an_unknown_setting_is_refused(
        self, plugin_class: type[Plugin], server: Server
    ) -> None:
        with pytest.raises(ValueError, match="no_such_setting"):
            plugin_class.Config.model_validate({**server.config, "no_such_setting": 1})

    @pytest.mark.parametrize("name", get_args(SignalName))
    async def test_what_it_ships_arrives(
        self,
        plugin_class: type[Plugin],
        make: Callable[[], Plugin],
        server: Server,
        name: SignalName,
    ) -> None:
        if name not in plugin_class.takes:
            pytest.skip(f"it takes no {name}")
        shipped = signal(name, 1)
        async with self._open(make()) as plugin:
            await plugin.ship((shipped,))
            if self.is_polled:
                await arrived(server, [shipped])
        await arrived(server, [shipped])

    async def test_batches_arrive_whole(
        self, plugin_class: type[Plugin], make: Callable[[], Plugin], server: Server
    ) -> None:
        batches = [
            tuple(signal(name, 100 * which + number) for name in self._names(plugin_class)
                  for number in range(20))
            for which in (1, 2)
        ]  # fmt: skip
        async with self._open(make()) as plugin:
            for batch in batches:
                await plugin.ship(batch)
            await plugin.ship(())
            if self.is_polled:
                await arrived(server, batches[0] + batches[1])
        await arrived(server, batches[0] + batches[1])

    async def test_closing_ships_what_is_held_back(
        self, plugin_class: type[Plugin], make: Callable[[], Plugin], server: Server
    ) -> None:
        if self.is_polled:
            pytest.skip("the other side fetches what it wants")
        shipped = [signal(name, 7) for name in self._names(plugin_class)]
        async with self._open(make()) as plugin:
            await plugin.ship(shipped)
        await arrived(server, shipped)

    async def test_closing_is_harmless_at_any_time(self, make: Callable[[], Plugin]) -> None:
        never_started = make()
        await never_started.close()
        twice = make()
        await twice.start()
        await twice.close()
        await twice.close()

    async def test_what_is_refused_is_an_error(
        self, plugin_class: type[Plugin], make: Callable[[], Plugin], server: Server
    ) -> None:
        if self.is_deaf or self.is_polled:
            pytest.skip("nobody tells this plugin whether anything arrived")
        await server.refuse(True)
        with pytest.raises(PluginError) as refused:
            async with self._open(make()) as plugin:
                await plugin.ship([signal(name, 3) for name in self._names(plugin_class)])
        told = "".join(traceback.format_exception(refused.value))
        assert str(refused.value).strip(), "an error says what to do"
        for secret in server.secrets:
            assert secret not in told, "an error is shown to everybody"

    async def test_it_goes_on_after_a_refusal(
        self, plugin_class: type[Plugin], make: Callable[[], Plugin], server: Server
    ) -> None:
        if self.is_deaf or self.is_polled:
            pytest.skip("nobody tells this plugin whether anything arrived")
        shipped = [signal(name, 4) for name in self._names(plugin_class)]
        async with self._open(make()) as plugin:
            await server.refuse(True)
            with suppress(PluginError):
                await plugin.ship(shipped)
            await server.refuse(False)
            await eventually(lambda: plugin.ship(shipped))
        await arrived(server, shipped)

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    async def test_hostile_texts_spoil_nothing(
        self, plugin_class: type[Plugin], make: Callable[[], Plugin], server: Server, text: str
    ) -> None:
        good = [signal(name, 5) for name in self._names(plugin_class)]
        async with self._open(make()) as plugin:
            for name in self._names(plugin_class):
                await plugin.ship([hostile(name, text)])
            await plugin.ship(good)
            if self.is_polled:
                await arrived(server, good)
        await arrived(server, good)

    async def test_no_secret_is_shown(
        self, plugin_class: type[Plugin], make: Callable[[], Plugin], server: Server
    ) -> None:
        async with self._open(make()) as plugin:
            await plugin.ship([signal(name, 6) for name in self._names(plugin_class)])
            shown = repr(plugin) + str(plugin)
            seen = await server.received()
        for secret in server.secrets:
            assert secret not in shown, "do not show the config in a repr"
            assert secret not in seen + await server.received()

    def _names(self, plugin_class: type[Plugin]) -> list[SignalName]:
        return [name for name in SHIPPED if name in plugin_class.takes]

    @asynccontextmanager
    async def _open(self, plugin: Plugin) -> AsyncIterator[Plugin]:
        await plugin.start()
        try:
            yield plugin
        finally:
            await plugin.close()


async def arrived(server: Server, signals: Sequence[Signal]) -> None:
    """Wait until every signal can be seen at the other side; fails with what was seen."""
    missing, seen = list(signals), ""
    with suppress(TimeoutError):
        async with asyncio.timeout(ARRIVING):
            while missing:
                seen = await server.received()
                missing = [each for each in signals if server.marker(each) not in seen]
                if missing:
                    await asyncio.sleep(0.01)
    assert not missing, (
        f"{[server.marker(each) for each in missing]} did not arrive: {seen[-2000:]}"
    )


async def eventually(ship: Callable[[], Awaitable[None]]) -> None:
    """Ship, as often as the runtime would when the plugin asks for it."""
    for _ in range(5):
        try:
            await ship()
            return
        except PluginError as error:
            last = error
            await asyncio.sleep(min(error.after, 1.0))
    raise last
