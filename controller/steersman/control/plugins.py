"""Plugins at admission: each is judged by its own type, in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from steersman.api.errors import SteersmanError
from steersman.api.objects import AnyObject
from steersman.api.plugin import Plugin, with_values
from steersman.api.secret import MASK, Secret
from steersman.control.admission import admit_plugins
from steersman.control.memory import Memory
from steersman.plugging.process import PluginProcess


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
    try:
        process = await PluginProcess.start()
        try:
            config = with_values(plugin.spec.config, lambda ref: MASK)
            return await process.check(plugin.spec.type, config)
        finally:
            await process.end()
    except SteersmanError as error:
        return f"spec.type: {error}"
