"""Files of the hand's that are written to hosts, where they run by themselves."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def source_of(module: str) -> bytes:
    return resources.files("steersman.hand").joinpath(f"{module}.py").read_bytes()
