"""Which hosts run an app, and how many instances of each process: the same answer for equal facts.

A host is *open*, *cordoned* (it keeps what it runs, which goes on being updated, and gets nothing
more) or *drained* (it keeps nothing). An app is on each open host that it matches. `count` says
how many instances each of these runs; `replicas` are spread over them, so evenly that no two
differ by more than one, and a host that gets no replica of an app of replicas alone holds nothing.

Who gets one more than others is decided by rendezvous hashing (Thaler and Ravishankar, 1998):
each host has a rank for a process that no other host changes. One host more or less therefore
moves only the instances that it takes or had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from steersman.api.app import App
from steersman.api.host import Host
from steersman.planning.fleet import meant

Shares = Mapping[str, Mapping[str, int]]
"""Instances by host and process, of the processes that are spread."""


@dataclass(frozen=True, slots=True)
class Places:
    """The hosts that should run an app, sorted by name, and the shares of each of them."""

    hosts: tuple[str, ...]
    shares: Shares = field(default_factory=dict)


def place(app: App, hosts: Mapping[str, Host]) -> Places:
    """Return where `app` belongs; what it runs now matters on cordoned hosts only."""
    matched = meant(app.spec.placement, hosts)
    opened = [name for name, host in matched.items() if host.cordon is None]
    kept = [n for n, h in matched.items() if h.cordon == "cordoned" and n in app.status.hosts]
    held = held_by(app)
    names = sorted([*opened, *kept])
    shares: dict[str, dict[str, int]] = {name: {} for name in names}
    for process, each in app.spec.processes.items():
        if each.replicas is None:
            continue
        capped = {name: held.get(name, {}).get(process, 0) for name in kept}
        spread_ = spread(each.replicas, f"{app.name}/{process}", opened, capped)
        for name, count in spread_.items():
            shares[name][process] = count
    if is_spread(app):
        # Scaled to nothing it stays where it is, as an app of `count: 0` does.
        names = [name for name in names if any(shares[name].values())] or names
    return Places(tuple(names), {name: shares[name] for name in names})


def is_spread(app: App) -> bool:
    """Return whether all that the app runs are replicas; a Procfile has counts."""
    processes = app.spec.processes.values()
    return bool(processes) and all(each.replicas is not None for each in processes)


def replicas_of(app: App) -> int:
    """Return how many replicas an app has, of all its processes together."""
    return sum(each.replicas or 0 for each in app.spec.processes.values())


def held_by(app: App) -> Shares:
    """Return the instances that hosts were last told to run."""
    held: dict[str, dict[str, int]] = {}
    for each in app.status.processes:
        held.setdefault(each.host, {})[each.process] = each.desired
    return held


def spread(
    total: int, key: str, opened: Collection[str], capped: Mapping[str, int]
) -> dict[str, int]:
    """Return how many of `total` each host runs; every host is in the answer.

    `capped` are the hosts that may keep what they have and get no more. What fits nowhere, with
    no host open, is left out.
    """
    even = _evenly(total, key, [*opened, *capped])
    kept = {name: min(most, even[name]) for name, most in capped.items()}
    rest = total - sum(kept.values())
    if opened:
        return {**kept, **_evenly(rest, key, opened)}
    for name in _ranked(key, capped):
        more = min(rest, capped[name] - kept[name])
        kept[name], rest = kept[name] + more, rest - more
    return kept


def _evenly(total: int, key: str, hosts: Collection[str]) -> dict[str, int]:
    if not hosts:
        return {}
    each, over = divmod(total, len(hosts))
    return {name: each + (1 if rank < over else 0) for rank, name in enumerate(_ranked(key, hosts))}


def _ranked(key: str, hosts: Collection[str]) -> list[str]:
    def rank(name: str) -> bytes:
        return hashlib.sha256(f"{key}/{name}".encode()).digest()

    return sorted(hosts, key=rank)


def while_moving(places: Places, held: Shares, but: Collection[str]) -> Places:
    """Return what hosts run until those that gain have gained: nobody has less than before.

    `but` are the processes whose shares cannot change within a release: those move with it.
    """
    shares = {
        name: {
            process: count if process in but else max(count, held.get(name, {}).get(process, 0))
            for process, count in wanted.items()
        }
        for name, wanted in places.shares.items()
    }
    return Places(places.hosts, shares)


def gaining(app: App, places: Places) -> frozenset[str]:
    """Return the hosts that are to run more of the app than they do."""
    held = held_by(app)
    return frozenset(
        name
        for name in places.hosts
        if name not in app.status.hosts
        or any(
            count > held.get(name, {}).get(process, 0)
            for process, count in places.shares.get(name, {}).items()
        )
    )
