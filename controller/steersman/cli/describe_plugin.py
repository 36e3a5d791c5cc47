"""A plugin in full: what it ships where, and how that goes."""

from datetime import datetime
from typing import Any

from steersman.api.plugin import Plugin, with_values
from steersman.api.quantities import format_duration, format_size
from steersman.cli.context import Work
from steersman.cli.sections import conditions_section, field, metadata_fields
from steersman.cli.tables import age
from steersman.store.errors import NotStored


async def describe_plugin(work: Work, name: str, now: datetime) -> str:
    """Return the description of a plugin."""
    stored = await work.store.get("Plugin", name)
    if stored is None:
        raise NotStored("Plugin", name)
    plugin = Plugin.model_validate(stored.object)
    spec, status = plugin.spec, plugin.status
    text = metadata_fields(plugin.metadata, now) + field("Type", spec.type)
    text += field("Signals", ", ".join(status.signals or spec.signals or ()) or "<all it takes>")
    text += field("Selects", _selects(plugin)) + field("Config", _config(plugin))
    buffer = spec.buffer
    bounds = f"{buffer.signals} signals, {format_size(buffer.size)}"
    text += field("Buffer", f"{bounds}, {buffer.batch} at once, {format_duration(buffer.wait)}")
    text += field("Shipped", status.shipped) + field("Dropped", status.dropped)
    text += field("Queued", status.queued) + field("Last success", _ago(status.last_success, now))
    error = f"{status.last_error} ({_ago(status.last_error_time, now)})"
    text += field("Last error", error if status.last_error is not None else "<none>")
    return text + conditions_section(status.conditions, now)


def _selects(plugin: Plugin) -> str:
    select = plugin.spec.select
    parts = [f"apps {', '.join(select.apps)}"] if select.apps is not None else []
    parts += [f"labels {','.join(term.text for term in select.terms)}"] if select.terms else []
    parts += [f"{select.level} and above"] if select.level != "debug" else []
    parts += [f"reasons {', '.join(select.reasons)}"] if select.reasons is not None else []
    return "; ".join(parts) or "<everything>"


def _config(plugin: Plugin) -> str:
    config: dict[str, Any] = with_values(
        plugin.spec.config, lambda ref: f"<{ref.key} of secret/{ref.secret}>"
    )
    return ", ".join(f"{key}={value}" for key, value in config.items()) or "<none>"


def _ago(when: datetime | None, now: datetime) -> str:
    return f"{age(when.isoformat(), now)} ago" if when is not None else "<never>"
