"""Which hosts change when: a strategy as stages that are walked one after the other.

Stages are made from what is there, so a walk that was cut off anywhere is taken up by making
them again: hosts that have moved are moved already, and only passed pauses need to be remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from steersman.api.quantities import amount_of
from steersman.api.rollout import Rollout

Standing = Literal["new", "old", "none"]


@dataclass(frozen=True, slots=True)
class HostView:
    """A host as a rollout sees it: it serves the new release, an older one, or none."""

    name: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Move:
    """Bring these hosts to the release, all at once."""

    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Boot:
    """Start the release beside the old one and see it healthy; switch nothing."""

    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop what runs of older releases."""

    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """Compare the hosts that moved with those that did not."""

    moved: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """The `number`-th pause, from 1: for `seconds`, or until somebody promotes.

    `step` and `of` are its place among the steps that the manifest declares; `judge` is asked
    all along, for what goes wrong meanwhile must not reach the next hosts.
    """

    number: int
    seconds: float | None
    step: int
    of: int
    judge: Judge | None = None


Stage = Move | Boot | Stop | Judge | Wait


def stages(rollout: Rollout, hosts: Sequence[HostView], *, has_stops: bool) -> tuple[Stage, ...]:
    """Return what to do, in order. `has_stops`: a process stops before its successor starts.

    `hosts` may come in any order. When there is nothing older anywhere, nobody can notice a
    strategy: one host proves the release, then the rest follow.
    """
    ordered = sorted(hosts, key=lambda host: (host.standing != "new", host.name))
    if not any(host.standing == "old" for host in ordered):
        return _rolling(rollout, ordered, has_stops=False)
    if rollout.strategy == "Canary":
        return _canary(rollout, ordered)
    if rollout.strategy == "BlueGreen":
        return _blue_green(rollout, ordered)
    if rollout.strategy == "Recreate":
        old = tuple(host.name for host in ordered if host.standing == "old")
        return (Stop(old), Move(_names(ordered)))
    return _rolling(rollout, ordered, has_stops=has_stops)


def _rolling(
    rollout: Rollout, ordered: Sequence[HostView], *, has_stops: bool
) -> tuple[Stage, ...]:
    there = _names([host for host in ordered if host.standing == "new"])
    moving = [host for host in ordered if host.standing != "new"]
    first = (*there, *_names(moving[:1]))
    old = _names([host for host in moving[1:] if host.standing == "old"])
    empty = _names([host for host in moving[1:] if host.standing == "none"])
    size = wave_size(rollout, len(ordered), has_stops=has_stops)
    # Nothing serves on an empty host, so its start costs nobody anything.
    waves = [first, (*empty, *old[:size])]
    waves += [old[at : at + size] for at in range(size, len(old), size)]
    return tuple(Move(wave) for wave in waves if wave)


def wave_size(rollout: Rollout, total: int, *, has_stops: bool) -> int:
    """Return how many of `total` hosts may change at once, rounded as Kubernetes rounds.

    A hand-over runs two generations side by side, which is surge; a process that stops first
    leaves its host without it, which is unavailability and all that counts then.
    """
    surge = amount_of(rollout.max_surge, total, round_up=True)
    unavailable = amount_of(rollout.max_unavailable, total, round_up=False)
    return max(1, unavailable if has_stops else surge + unavailable)


def _canary(rollout: Rollout, ordered: Sequence[HostView]) -> tuple[Stage, ...]:
    steps = rollout.canary.steps if rollout.canary is not None else ()
    names = _names(ordered)
    made: list[Stage] = []
    reached = pauses = 0
    for at, step in enumerate(steps, 1):
        if step.hosts is not None:
            wanted = max(1, amount_of(step.hosts, len(names), round_up=True))
            if wanted > reached:
                made.append(Move(names[reached:wanted]))
                reached = wanted
                made.append(Judge(names[:reached], names[reached:]))
        elif step.pause is not None:
            pauses += 1
            judge = Judge(names[:reached], names[reached:]) if reached else None
            made.append(Wait(pauses, step.pause.duration, at, len(steps), judge))
    if reached < len(names):
        made.append(Move(names[reached:]))
    return tuple(made)


def _blue_green(rollout: Rollout, ordered: Sequence[HostView]) -> tuple[Stage, ...]:
    names = _names(ordered)
    settings = rollout.blue_green
    if settings is None or settings.auto_promotion:
        return (Boot(names), Move(names))
    return (Boot(names), Wait(1, None, 1, 1), Move(names))


def _names(hosts: Sequence[HostView]) -> tuple[str, ...]:
    return tuple(host.name for host in hosts)
