"""Hosts by name, found by what is asked of their labels without asking each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from steersman.api.host import Host
from steersman.api.placement import Placement


class Fleet(dict[str, Host]):
    """A snapshot of all hosts, never changed once it is made."""

    @cached_property
    def _labelled(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        found: dict[tuple[str, str], list[str]] = {}
        for name, host in self.items():
            for label in host.metadata.labels.items():
                found.setdefault(label, []).append(name)
        return {label: tuple(names) for label, names in found.items()}

    def likely(self, placement: Placement) -> Iterable[str]:
        """Return names among which are all that `placement` matches."""
        if placement.hosts is not None:
            return [name for name in placement.hosts if name in self]
        sets = [self._labelled.get(label, ()) for label in placement.selector.items()]
        return min(sets, key=len, default=self)


def meant(placement: Placement, hosts: Mapping[str, Host]) -> dict[str, Host]:
    """Return the hosts that a placement matches."""
    names = hosts.likely(placement) if isinstance(hosts, Fleet) else hosts
    found = {name: hosts[name] for name in names}
    return {n: h for n, h in found.items() if placement.matches(n, h.metadata.labels)}
