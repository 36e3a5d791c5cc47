"""Plugins: judged at admission by their own types, given values of Secrets, and tried."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steersman.api.errors import SteersmanError
from steersman.api.mask import Masks
from steersman.api.objects import AnyObject
from steersman.api.plugging import PluginError
from steersman.api.plugin import Plugin, SecretRef, with_values
from steersman.api.secret import MASK, Secret
from steersman.api.signals import SHIPPED, Signal, SignalName
from steersman.control.admission import admit_plugins
from steersman.control.memory import Memory, NotFound
from steersman.control.probing import probe_signal
from steersman.control.vault import Vault
from steersman.plugging.process import PluginProcess
from steersman.plugging.types import Installed, installed


async def admit_given_plugins(memory: Memory, objects: Sequence[AnyObject]) -> None:
    """Raise NotAdmitted unless the plugins among `objects` fit to their types and to Secrets.

    Those that are stored are left alone: what is wrong with them is said by their conditions.
    """
    plugins = [obj for obj in objects if isinstance(obj, Plugin)]
    if not plugins:
        return
    stored = await memory.store.list("Secret")
    secrets = {each.name: [*each.spec.get("data", {})] for each in stored}
    secrets |= {obj.name: [*obj.spec.data] for obj in objects if isinstance(obj, Secret)}
    checks = await asyncio.gather(*map(_check, plugins))
    admit_plugins(plugins, secrets, dict(zip((p.name for p in plugins), checks, strict=True)))


async def plugins_using(memory: Memory, secret: str) -> list[str]:
    """Return the names of the plugins whose config takes a value of a Secret."""
    found = [Plugin.model_validate(each.object) for each in await memory.store.list("Plugin")]
    return [plugin.name for plugin in found if secret in plugin.secrets]


async def _check(plugin: Plugin) -> Mapping[str, Any] | str:
    """Return what the plugin's type says of its config, or why it says nothing."""
    config = with_values(plugin.spec.config, lambda ref: MASK)
    try:
        return await _asked(plugin.spec.type, config)
    except SteersmanError as error:
        return f"spec.type: {error}"


async def _asked(type_: str, config: Mapping[str, Any]) -> dict[str, Any]:
    process = await PluginProcess.start()
    try:
        return await process.check(type_, config)
    finally:
        await process.end()


class ValueMissing(SteersmanError):
    """A Secret has no value under the key that a plugin's config names."""

    def __init__(self, ref: SecretRef) -> None:
        super().__init__(
            f"secret {ref.secret} has no {ref.key}; add it to the Secret, or change spec.config"
        )


async def config_of(plugin: Plugin, vault: Vault) -> dict[str, Any]:
    """Return a plugin's config with the values of Secrets in it; raises what is missing."""
    values = await vault.current(plugin.secrets)

    def value(ref: SecretRef) -> str:
        try:
            return values[ref.secret][ref.key]
        except KeyError:
            raise ValueMissing(ref) from None

    return with_values(plugin.spec.config, value)


@dataclass(frozen=True, slots=True)
class PluginType:
    """A type that is installed; `fault` is why it cannot be used."""

    type: str
    distribution: str
    takes: tuple[str, ...] = ()
    summary: str = ""
    fault: str = ""


_KNOWN: dict[Installed, PluginType] = {}
"""What types said of themselves: whoever may read may ask, and each answer takes a process."""


async def plugin_types() -> list[PluginType]:
    """Return the types that are installed here, with what each says of itself."""
    return [_KNOWN[each] if each in _KNOWN else await _told(each) for each in installed()]


async def _told(found: Installed) -> PluginType:
    distribution = f"{found.distribution} {found.version}".strip()
    try:
        said = await _asked(found.type, {})
    except SteersmanError as error:
        return PluginType(found.type, distribution, fault=str(error))
    told = PluginType(found.type, distribution, tuple(said["takes"]), said["summary"])
    return _KNOWN.setdefault(found, told)


@dataclass(frozen=True, slots=True)
class Probed:
    """What became of a probe of one kind; `error` is what the other side, or the plugin, said."""

    signal: str
    seconds: float
    error: str = ""


async def probe(memory: Memory, vault: Vault, name: str) -> list[Probed]:
    """Ship a probe of each kind that a plugin takes now, and return how that went.

    It goes by a process of its own: for where no daemon has the plugin at work. Raises when the
    plugin does not start.
    """
    stored = await memory.store.get("Plugin", name)
    if stored is None:
        raise NotFound("Plugin", name)
    plugin = Plugin.model_validate(stored.object)
    process = await PluginProcess.start()
    try:
        config = await config_of(plugin, vault)
        takes = await process.open(plugin.spec.type, name, config)
        wanted = plugin.spec.signals
        signals = [n for n in SHIPPED if n in takes and (wanted is None or n in wanted)]
        probed = await tried(
            lambda signal: process.ship([signal], plugin.spec.timeout), name, signals, vault.masks
        )
        await process.close(plugin.spec.timeout)
        return probed
    except PluginError as error:
        raise ProbeFailed(name, vault.masks.text(str(error))) from None
    finally:
        await process.end()


class ProbeFailed(SteersmanError):
    """A plugin did not start, or did not end well."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"plugin {name}: {why}; see `steer describe plugin/{name}`, and change its spec.config"
        )


async def tried(
    ship: Callable[[Signal], Awaitable[object]],
    name: str,
    signals: Sequence[SignalName],
    masks: Masks,
) -> list[Probed]:
    """Return how it went to `ship` a probe of each of the signals by the plugin `name`."""
    probed = []
    for signal in signals:
        began, said = time.monotonic(), ""
        try:
            await ship(probe_signal(signal, name, time.time()))
        except PluginError as error:
            said = masks.text(str(error))
        probed.append(Probed(signal, time.monotonic() - began, said))
    return probed
