"""Plugins over HTTP: which types are installed here, and a probe of one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.responses import Response

from steersman.server.ask import Ask
from steersman.server.hosts import looks_of
from steersman.server.objects import found, json_answer
from steersman.server.streams import told


async def types(ask: Ask) -> Response:
    """Return the types of plugins that are installed where the daemon runs."""
    return json_answer({"types": [asdict(each) for each in await looks_of(ask).plugin_types()]})


async def probe(ask: Ask) -> Response:
    """Have a plugin ship a probe of each kind that it takes, and tell how that went."""
    name = (await found(ask)).name

    async def work() -> Any:
        await ask.note("Probed", f"probes plugin/{name}", name=name)
        shipping = ask.parts.shipping
        # One that is polled holds its port: a second beside it would not start.
        probed = await shipping.probe(name) if shipping is not None else None
        if probed is None:
            probed = await looks_of(ask).probe(name)
        return [asdict(each) for each in probed]

    return told(ask, work)
