"""Whether a canary does worse than the hosts that still run the release before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steersman.api.app import App
from steersman.api.rollout import Analysis
from steersman.control.converge import Unhealthy
from steersman.control.hosts import HostLink
from steersman.control.traffic import Tally, total, traffic_on
from steersman.planning.rollout import Judge
from steersman.planning.seen import parse_unit


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the canary, and on which host."""

    host: str
    why: str


async def judge(
    app: App, number: int, stage: Judge, links: Mapping[str, HostLink]
) -> Unhealthy | None:
    """Return what is wrong with release `number` on the hosts that moved, None if nothing is."""
    settings = app.spec.rollout.canary.analysis if app.spec.rollout.canary else Analysis()
    moved = [links[name] for name in stage.moved if name in links]
    others = [links[name] for name in stage.others if name in links]
    restarts = await asyncio.gather(*(_restarts(link, app.name, number) for link in moved))
    counts = {link.name: count for link, count in zip(moved, restarts, strict=True)}
    new = await asyncio.gather(*(traffic_on(link, app) for link in moved))
    window = max([each.age for each in new], default=0.0)
    old = await asyncio.gather(*(traffic_on(link, app, window) for link in others))
    at = {link.name: each.current for link, each in zip(moved, new, strict=True)}
    fault = find_fault(settings, counts, at, [each.current for each in old])
    if fault is None:
        return None
    link = links[fault.host]
    units = await _instances(link, app.name, number)
    reply = await link.link.call("tail", names=units, count=20)
    said = [link.masks.text(str(line)) for line in reply.header["lines"]]
    return Unhealthy(fault.host, app.name, fault.why, said)


def find_fault(
    settings: Analysis,
    restarts: Mapping[str, int],
    new: Mapping[str, Tally],
    old: Sequence[Tally],
) -> Fault | None:
    """Judge the new release by host against all hosts of the old one together."""
    for host, count in restarts.items():
        if count > settings.max_restarts:
            allowed = settings.max_restarts
            return Fault(host, f"an instance of the canary restarted {count} times, not {allowed}")
    usual = total(old).rate
    for host, each in new.items():
        if each.requests >= settings.min_requests and each.rate > usual + settings.error_share:
            return Fault(
                host,
                f"{each.errors} of the canary's {each.requests} answers were errors"
                f" ({each.rate:.1%}), and {usual:.1%} of the old release's"
                f" (at most {settings.max_error_rate} more are allowed)",
            )
    return None


async def _instances(link: HostLink, app: str, number: int) -> list[str]:
    """Return the units of a generation's instances."""
    seen = await link.observe()
    parsed = [(unit, parse_unit(unit)) for unit in seen.units_of(app)]
    return [
        unit
        for unit, name in parsed
        if name is not None and name.number == number and name.part is None and name.instance
    ]


async def _restarts(link: HostLink, app: str, number: int) -> int:
    units = await _instances(link, app, number)
    details = (await link.link.call("details", names=units)).header["units"]
    return max([int(each["restarts"]) for each in details.values()], default=0)
