"""The keys that a host shows, and the choice of a person."""

import sys
from collections.abc import Sequence

import click

from steersman.api.errors import SteersmanError
from steersman.api.host import Host
from steersman.cli.text import printable
from steersman.control.trust import Key, Shown


class NotTrusted(SteersmanError):
    """Nobody said that a key is the host's."""


def print_keys(host: Host, keys: Sequence[Key]) -> None:
    """Print what a host shows of itself."""
    click.echo(f"host/{host.name} ({host.spec.address} port {host.spec.port}) shows:")
    for key in keys:
        click.echo(f"  {key.fingerprint}  {printable(key.algorithm)}")


def choose_keys(host: Host, shown: Shown, *, accept: str | None, is_replacing: bool) -> list[Key]:
    """Return the keys to pin, none when nothing is to do; raises NotTrusted."""
    keys, pinned = shown
    if host.spec.host_key:
        _compare_with_manifest(host, keys)
        return []
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
