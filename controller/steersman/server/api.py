"""The API as a door of the daemon: opened with it, and closed without breaking what goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.types import ASGIApp

from steersman.server.app import make_app
from steersman.server.listen import ApiConfig, listening
from steersman.server.parts import Parts

ENDING = 30.0
"""Seconds in which what a request began may end by itself, once the daemon is to stop."""


@asynccontextmanager
async def api(
    parts: Parts,
    folder: Path,
    config: ApiConfig | None = None,
    others: Mapping[str, ASGIApp] | None = None,
) -> AsyncIterator[list[str]]:
    """Serve the API until the block ends; yields where. `others` are doors beside it."""
    config = config if config is not None else ApiConfig()
    app = make_app(parts, names=config.names, others=others)
    try:
        async with listening(app, folder, config, parts.stopping) as where:
            yield where
    finally:
        await parts.works.end(ENDING)
