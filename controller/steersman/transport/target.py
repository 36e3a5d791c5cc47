"""Where a host is and how to log in there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Target:
    """One SSH destination.

    `user`, `port` and `identity` that are None come from ssh_config when it is honoured, else from
    the usual defaults. `host_keys` are pinned public keys (`ssh-ed25519 AAAA…`): when there are
    any, no known_hosts file is asked. `jump` is logged in to first and may itself have a jump.
    """

    name: str
    address: str
    port: int | None = None
    user: str | None = None
    identity: Path | None = None
    host_keys: tuple[str, ...] = ()
    jump: Target | None = None
    become: Literal["sudo", "none"] = "none"
    use_ssh_config: bool = False
