"""Signed webhooks: whoever proves to know a hook's secret has its app or repository looked at."""

from steersman.server.hooks.config import Hook
from steersman.server.hooks.door import HookDoor

__all__ = ["Hook", "HookDoor"]
