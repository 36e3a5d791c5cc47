"""Signals as plain data, for whoever writes JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from steersman.api.signals import SHIPPED, Signal

_NAMES = {type_: name for name, type_ in SHIPPED.items()}


def plain(signal: Signal) -> dict[str, Any]:
    """Return a signal's fields, and as `signal` what manifests call its kind."""
    return {"signal": _NAMES.get(type(signal), ""), **_plain(signal)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value
