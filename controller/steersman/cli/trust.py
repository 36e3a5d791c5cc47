"""The keys that a host shows, the choice of a person, and the file where they are pinned."""

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import click

from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.cli.context import Work
from steersman.cli.text import printable
from steersman.control.hosts import target_of
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


class NotTrusted(SteersmanError):
    """Nobody said that a key is the host's."""


async def shown_keys(work: Work, host: Host, hosts: Mapping[str, Host]) -> list[Key]:
    """Return what the host shows of itself, and print it."""
    target = target_of(host, hosts)
    shown = await fetch_host_keys(target, trust_files=(work.trusted.path,))
    keys = [Key(*each) for each in shown]
    click.echo(f"host/{host.name} ({host.spec.address} port {host.spec.port}) shows:")
    for key in keys:
        click.echo(f"  {key.fingerprint}  {printable(key.algorithm)}")
    return keys


def choose_keys(
    work: Work,
    host: Host,
    hosts: Mapping[str, Host],
    keys: Sequence[Key],
    *,
    accept: str | None,
    is_replacing: bool,
) -> list[Key]:
    """Return the keys to pin, none when nothing is to do; raises NotTrusted."""
    if host.spec.host_key:
        _compare_with_manifest(host, keys)
        return []
    pinned = set(work.trusted.keys(target_of(host, hosts)))
    if pinned and pinned <= {key.words for key in keys}:
        click.echo(f"host/{host.name} is trusted already, unchanged")
        return []
    if pinned and not is_replacing:
        raise NotTrusted(
            f"host {host.name}: another key of it is trusted already, so this may be somebody in"
            f" between; if it was really made anew, run `steer host trust {host.name} --replace`"
        )
    if accept is not None:
        return [_accepted(host, keys, accept)]
    if not sys.stdin.isatty():
        raise NotTrusted(
            f"host {host.name}: nobody is here to ask; compare the fingerprints above with the"
            f" host's own, then run `steer host trust {host.name} --accept {keys[0].fingerprint}`"
        )
    if not click.confirm("Are these what the host itself says?", err=True):
        raise NotTrusted(f"host {host.name}: nothing was trusted; run this again to trust it")
    return list(keys)


def _compare_with_manifest(host: Host, keys: Sequence[Key]) -> None:
    if {key.words for key in keys} & set(host.spec.host_key):
        click.echo(f"host/{host.name} is trusted already, by the hostKey of its manifest")
        return
    raise NotTrusted(
        f"host {host.name}: its manifest pins another key, and only a pinned key counts;"
        f" correct spec.hostKey (now shown: `{keys[0].words}`), or leave it out and run this again"
    )


def _accepted(host: Host, keys: Sequence[Key], fingerprint: str) -> Key:
    for key in keys:
        if key.fingerprint == fingerprint:
            return key
    raise NotTrusted(
        f"host {host.name}: none of its keys has the fingerprint {fingerprint};"
        " if it is the host's own, somebody may be in between: nothing was trusted,"
        " see where its address leads"
    )


def pin(
    work: Work, host: Host, hosts: Mapping[str, Host], keys: Sequence[Key], *, is_replacing: bool
) -> None:
    """Write the keys into our own known_hosts file."""
    target = target_of(host, hosts)
    work.trusted.pin(target, [key.line for key in keys], replace=is_replacing)
    click.echo(f"host/{host.name} trusted ({work.trusted.path})")
