"""The keys that hosts show, and those that are pinned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from steersman.api.host import Host
from steersman.control.hosts import target_of
from steersman.transport.known_hosts import KnownHosts
from steersman.transport.ssh import fetch_host_keys


class Key(NamedTuple):
    """A public key: its algorithm, its line in known_hosts files, and its fingerprint."""

    algorithm: str
    line: str
    fingerprint: str

    @property
    def words(self) -> str:
        """The line without its comment, as it is pinned."""
        return " ".join(self.line.split()[:2])


class Shown(NamedTuple):
    """What a host shows of itself now, and what is `pinned` of it."""

    keys: tuple[Key, ...]
    pinned: frozenset[str]


async def shown_keys(trusted: KnownHosts, host: Host, hosts: Mapping[str, Host]) -> Shown:
    """Ask a host for its keys, over its jump hosts, whose keys must be trusted."""
    target = target_of(host, hosts)
    found = await fetch_host_keys(target, trust_files=(trusted.path,))
    keys = tuple(Key(*(str(part) for part in each)) for each in found)
    return Shown(keys, frozenset(trusted.keys(target)))


def pin(
    trusted: KnownHosts,
    host: Host,
    hosts: Mapping[str, Host],
    lines: Sequence[str],
    *,
    is_replacing: bool,
) -> str:
    """Write keys into our own known_hosts file; return where that is."""
    trusted.pin(target_of(host, hosts), list(lines), replace=is_replacing)
    return str(trusted.path)
