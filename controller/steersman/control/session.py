"""One run of the controller: its memory, its links and its epoch."""

from __future__ import annotations

import asyncio
import getpass
import os
import platform
from collections.abc import Iterable, Mapping
from functools import cache, partial
from pathlib import Path

from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.builds.blobs import BlobStore
from steersman.control.hosts import HostLink, claims_of, target_of
from steersman.control.memory import Memory
from steersman.control.report import Reporter
from steersman.control.target import Wanted
from steersman.control.turns import PATIENCE, Turn
from steersman.control.vault import Vault
from steersman.drivers.hosts import settings_of
from steersman.sealing.keyring import Keyring
from steersman.store.protocol import Store
from steersman.transport.bundle import hand_bundle
from steersman.transport.link import Link
from steersman.transport.pool import LinkPool
from steersman.transport.target import Target

FACTS = ("python", "machine", "systemd")

WantedKey = tuple[str, str, tuple[tuple[str, int], ...]]
"""An app, a platform and a share of the replicas."""


class Session:
    """Connects to hosts on demand and keeps the links until it is closed."""

    def __init__(
        self,
        store: Store,
        report: Reporter,
        cache: Path,
        *,
        trust_files: tuple[Path, ...] = (),
        use_ssh_config: bool = True,
        patience: float = PATIENCE,
        keys: Keyring,
    ) -> None:
        self.turn = Turn(report, patience)
        self.memory = Memory(store)
        self.vault = Vault(self.memory, keys)
        self.report = report
        self.blobs = BlobStore(cache)
        self.cache = cache
        self.wanted: dict[WantedKey, Wanted] = {}
        self._trust_files = trust_files
        self._use_ssh_config = use_ssh_config
        self._settings: dict[str, Mapping[str, object]] = {}
        self._pool = LinkPool(self._open)
        self._links: dict[str, HostLink] = {}
        self._held: set[HostLink] = set()
        self.silent: dict[str, SteersmanError] = {}
        """Hosts that an attendant keeps trying to reach, and why they do not answer."""
        self._epoch = 0
        self._numbering = asyncio.Lock()

    async def close(self) -> None:
        await self._pool.close_all()

    async def connect(self, host: Host, hosts: Mapping[str, Host]) -> HostLink:
        """Return the host's link, opened if need be; raises the link's errors."""
        self._settings[host.name] = settings_of(host.spec, holder())
        target = target_of(host, hosts, use_ssh_config=self._use_ssh_config)
        link = await self._pool.get(target)
        known = self._links.get(host.name)
        if known is not None and known.link is link and known.host.spec == host.spec:
            return known
        reopen = partial(self._pool.get, target)
        turn, masks, held = self.turn, self.vault.masks, self._held
        made = HostLink(host, link, self.blobs.path, self._epoch_above, reopen, turn, masks, held)
        self._links[host.name] = made
        await self._remember(made)
        return made

    def round_trips(self) -> dict[str, float]:
        """Return the seconds that each connected host last took to answer a ping."""
        links = {name: link.link for name, link in self._links.items()}
        return {
            name: link.round_trip
            for name, link in links.items()
            if link.round_trip is not None and not link.lost.is_set()
        }

    async def leave(self, name: str) -> None:
        """Close the link to a host that is no concern of ours any more."""
        self._links.pop(name, None)
        await self._pool.drop(name)

    async def let_go(self, app: str) -> None:
        """Give up the hosts that were claimed for an app and its jobs, where nothing else is."""
        claims = claims_of(app)
        await asyncio.gather(*(link.let_go(*claims) for link in tuple(self._held)))

    async def connect_all(
        self, names: Iterable[str], hosts: Mapping[str, Host]
    ) -> tuple[dict[str, HostLink], dict[str, SteersmanError]]:
        """Return the links of those hosts that answer, and the error of each that does not."""
        wanted = [name for name in dict.fromkeys(names) if name in hosts]
        made = await asyncio.gather(*(self._try(hosts[name], hosts) for name in wanted))
        links = {n: m for n, m in zip(wanted, made, strict=True) if isinstance(m, HostLink)}
        errors = {n: m for n, m in zip(wanted, made, strict=True) if isinstance(m, SteersmanError)}
        return links, errors

    async def _try(self, host: Host, hosts: Mapping[str, Host]) -> HostLink | SteersmanError:
        if host.name in self.silent:
            return self.silent[host.name]
        try:
            return await self.connect(host, hosts)
        except SteersmanError as error:
            return error

    async def _epoch_above(self, seen: int) -> int:
        """Return an epoch for this run to claim a host with, which has seen `seen`."""
        async with self._numbering:
            if self._epoch <= seen:
                known = [int(link.hello.get("epoch") or 0) for link in self._links.values()]
                self._epoch = await self.memory.store.next_epoch(1 + max([seen, *known]))
            return self._epoch

    async def _open(self, target: Target) -> Link:
        settings, bundle = self._settings[target.name], hand_bundle(self.cache / "hand")
        return await Link.open(target, settings, trust_files=self._trust_files, bundle=bundle)

    async def _remember(self, link: HostLink) -> None:
        if link.host.metadata.uid is None:
            return  # a host that is only in a manifest so far
        facts = {key: str(link.hello[key]) for key in FACTS if key in link.hello}
        if dict(link.host.status.facts) != facts:
            status = link.host.status.model_copy(update={"facts": facts})
            await self.memory.set_host_status(link.host, status)


def holder() -> str:
    """Return who changes a host, for whoever finds it locked: user@machine (pid)."""
    return f"{whoever()} (pid {os.getpid()})"


@cache
def whoever() -> str:
    """Return whose steer this is: user@machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"steer of {user}@{platform.node()}"
