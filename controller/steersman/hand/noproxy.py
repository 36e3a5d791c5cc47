"""No proxy on this host: apps are reached on their sockets, and no route can be made."""

from __future__ import annotations

from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List


class NoProxy:
    unit = ""

    def foreign_names(self) -> Dict[str, str]:
        return {}

    def folders(self) -> List[str]:
        return []

    def write_site(self, path: str, data: bytes) -> None:
        raise Refused("bad-request", "this host has no proxy; set spec.proxy in its Host")

    def remove_site(self, path: str) -> None:
        raise Refused("bad-request", "this host has no proxy; set spec.proxy in its Host")
